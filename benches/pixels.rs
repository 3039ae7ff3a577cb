//! Pixels: `cargo bench --bench pixels`. What it costs to make the network's input of decoded video, beside GStreamer's
//! elements.
//!
//! Ours is what `vidtokenc` does to a frame: rows converted, resized if asked for, and put into the input of a network that
//! takes bytes or floats. GStreamer's is `videoconvert`, with `videoscale` if asked for, and a copy of the RGB to the same
//! input, which is what an encoder that takes RGB does. (Floats take four times the memory of bytes. A network that takes
//! bytes makes floats of them itself.) Both run on one thread, on the same buffers, and take turns; their medians of
//! processor time are compared.
//!
//! The second table is the decoder's side: RGB to I420 and NV12, beside `videoconvert`.
//!
//! Options after `--`: `--frames N` per turn (40), `--repeats N` (15).

mod common;

use common::{Result, median};
use gst_check::Harness;
use gst_video::VideoFrameExt;
use gstvidtok::pixels::{Colour, Converter, Layout, Method, Planes, Source};
use gstvidtok::resize::{Fit, Interpolation, Plan, Resizer, Size};
use gstvidtok::tokenizer::{FrameStack, FrameType};
use gstvidtok::yuv;

const FULL: (u32, u32) = (1920, 1080);
const SMALL: (u32, u32) = (256, 256);
/// Different pictures, so that they do not all lie in the processor's nearest memory.
const PICTURES: usize = 8;
/// Frames of a step of the built-in tokenizer.
const STEP: usize = 4;

struct Arguments {
    frames: usize,
    repeats: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            frames: 40,
            repeats: 15,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => (),
                "--frames" => arguments.frames = value()?.parse()?,
                "--repeats" => arguments.repeats = value()?.parse()?,
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    gst::init()?;
    println!(
        "milliseconds of processor time for a frame: medians of {} turns\n",
        arguments.repeats
    );
    println!("| video | to | GStreamer to bytes | ours | ratio | GStreamer to floats | ours | ratio |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let formats = ["I420", "NV12", "Y42B", "YUY2", "Y444", "I420_10LE", "P010_10LE"];
    let same = formats.iter().map(|format| (*format, FULL, None));
    let small = ["I420", "NV12"].map(|format| (format, SMALL, None));
    let resized = ["I420", "NV12"].map(|format| (format, FULL, Some(SMALL)));
    for (format, size, to) in same.chain(small).chain(resized) {
        compare(&arguments, format, size, to)?;
    }
    println!("\n| RGB to | GStreamer | ours | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    for format in ["I420", "NV12"] {
        compare_from_rgb(&arguments, format, FULL)?;
    }
    Ok(())
}

/// Prints a row of the second table. Both write into a new buffer, as elements do.
fn compare_from_rgb(arguments: &Arguments, format: &str, (width, height): (u32, u32)) -> Result<()> {
    let rgb = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height).build()?;
    let format: gst_video::VideoFormat = format.parse().map_err(|_| "an unknown format")?;
    let video = gst_video::VideoInfo::builder(format, width, height).build()?;
    let pictures: Vec<gst::Buffer> = (0..PICTURES).map(|index| noise(rgb.size(), index)).collect();
    let meant = "colorimetry=(string)bt601,chroma-site=(string)mpeg2";
    let caps = format!("video/x-raw,format={},{meant}", format.to_str());
    let mut element = Harness::new_parse(&format!("videoconvert n-threads=1 ! capsfilter caps=\"{caps}\""));
    element.set_src_caps(rgb.to_caps()?);
    let meaning = yuv::Meaning {
        matrix: yuv::Matrix::Bt601,
        full_range: false,
        siting: yuv::Siting::Left,
    };
    let mut converter = yuv::Converter::new(width as usize, meaning);
    let mut times = [const { Vec::new() }; 2];
    for turn in 0..=arguments.repeats {
        let taken = [
            time(arguments.frames, |frame| {
                std::hint::black_box(element.push_and_pull(pictures[frame % PICTURES].clone())?);
                Ok(())
            })?,
            time(arguments.frames, |frame| {
                let picture = pictures[frame % PICTURES].map_readable()?;
                std::hint::black_box(from_rgb(&mut converter, &picture, &video)?);
                Ok(())
            })?,
        ];
        if turn > 0 {
            times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
        }
    }
    let [element, ours] = times.map(median);
    println!(
        "| {} {width}×{height} | {element:.3} | {ours:.3} | {:.2} |",
        format.to_str(),
        ours / element
    );
    Ok(())
}

/// What the decoder does. Rows have no padding at these widths.
fn from_rgb(converter: &mut yuv::Converter, rgb: &[u8], video: &gst_video::VideoInfo) -> Result<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(video.size())?;
    let mut map = buffer.make_mut().map_writable()?;
    let (width, height) = (video.width() as usize, video.height() as usize);
    let (luma, chroma) = map.split_at_mut(video.offset()[1]);
    let chroma = if video.n_planes() == 3 {
        let (u, v) = chroma.split_at_mut(video.offset()[2] - video.offset()[1]);
        yuv::Chroma::Planar(plane(u, width / 2), plane(v, width / 2))
    } else {
        yuv::Chroma::Interleaved(plane(chroma, width))
    };
    converter.run(rgb, width * 3, 0..height, plane(luma, width), chroma);
    drop(map);
    Ok(buffer)
}

fn plane(bytes: &mut [u8], stride: usize) -> yuv::Plane<'_> {
    yuv::Plane { bytes, stride }
}

/// Prints a row of the table: video of a format and size, resized `to` another one.
fn compare(arguments: &Arguments, format: &str, size: (u32, u32), to: Option<(u32, u32)>) -> Result<()> {
    let format: gst_video::VideoFormat = format.parse().map_err(|_| "an unknown format")?;
    let video = gst_video::VideoInfo::builder(format, size.0, size.1).build()?;
    let pictures: Vec<gst::Buffer> = (0..PICTURES).map(|index| noise(video.size(), index)).collect();
    // Short turns would be lost in the clock's steps.
    let frames = match size {
        SMALL => arguments.frames * 30,
        _ => arguments.frames,
    };
    let types = [FrameType::Uint8, FrameType::Float32];
    let mut makers: Vec<Box<dyn Maker>> = Vec::new();
    for frame_type in types {
        makers.push(Box::new(Elements::new(&video, to, frame_type)?));
        makers.push(Box::new(Ours::new(&video, to, frame_type)?));
    }
    let mut times = [const { Vec::new() }; 4];
    // The first turn warms up.
    for turn in 0..=arguments.repeats {
        for (maker, times) in makers.iter_mut().zip(&mut times) {
            let taken = time(frames, |frame| maker.take(&pictures[frame % PICTURES], frame))?;
            if turn > 0 {
                times.push(taken);
            }
        }
    }
    let [byte_elements, bytes, float_elements, floats] = times.map(median);
    let shape = |(width, height): (u32, u32)| format!("{width}×{height}");
    println!(
        "| {format} {} | {} | {byte_elements:.3} | {bytes:.3} | {:.2} | {float_elements:.3} | {floats:.3} | {:.2} |",
        shape(size),
        shape(to.unwrap_or(size)),
        bytes / byte_elements,
        floats / float_elements
    );
    Ok(())
}

/// Makes the network's input of a picture.
trait Maker {
    fn take(&mut self, picture: &gst::Buffer, frame: usize) -> Result<()>;
}

/// A picture of random bytes.
fn noise(bytes: usize, index: usize) -> gst::Buffer {
    let mut state = index as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    gst::Buffer::from_slice((0..bytes).map(|_| next()).collect::<Vec<u8>>())
}

/// Milliseconds of this thread's processor time for each of `frames`.
fn time(frames: usize, mut take: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let started = processor_milliseconds()?;
    (0..frames).try_for_each(&mut take)?;
    Ok((processor_milliseconds()? - started) / frames as f64)
}

/// Processor time of this thread. Linux counts it in nanoseconds, and adds it up a few times in ten milliseconds.
fn processor_milliseconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("no processor time")?;
    Ok(nanoseconds.parse::<f64>()? / 1e6)
}

/// GStreamer's elements, and a copy of the RGB.
struct Elements {
    harness: Harness,
    stack: FrameStack,
    row_bytes: usize,
}

impl Elements {
    fn new(video: &gst_video::VideoInfo, to: Option<(u32, u32)>, frame_type: FrameType) -> Result<Self> {
        let (width, height) = to.unwrap_or((video.width(), video.height()));
        let rgb = format!("capsfilter caps=\"video/x-raw,format=RGB,width={width},height={height}\"");
        let line = match to {
            Some(_) => format!(
                "videocrop left=420 right=420 ! videoconvert n-threads=1 ! videoscale method=bilinear2 n-threads=1 ! {rgb}"
            ),
            None => format!("videoconvert n-threads=1 ! {rgb}"),
        };
        let mut harness = Harness::new_parse(&line);
        harness.set_src_caps(video.to_caps()?);
        Ok(Self {
            harness,
            stack: FrameStack::new(frame_type, STEP, (width, height), (width, height)),
            // Rows of RGB have no padding at these widths.
            row_bytes: width as usize * 3,
        })
    }
}

impl Maker for Elements {
    fn take(&mut self, picture: &gst::Buffer, frame: usize) -> Result<()> {
        let rgb = self.harness.push_and_pull(picture.clone())?;
        let rgb = rgb.map_readable()?;
        let copy = |y: usize, row: &mut [u8]| row.copy_from_slice(&rgb[y * self.row_bytes..][..self.row_bytes]);
        self.stack.set(frame % STEP, copy);
        std::hint::black_box(self.stack.bytes());
        Ok(())
    }
}

/// What the encoder does.
struct Ours {
    video: gst_video::VideoInfo,
    source: Source,
    converter: Converter,
    resizer: Option<Resizer>,
    stack: FrameStack,
}

impl Ours {
    fn new(video: &gst_video::VideoInfo, to: Option<(u32, u32)>, frame_type: FrameType) -> Result<Self> {
        let name = video.format().to_str();
        let layout = Layout::ALL.into_iter().find(|layout| layout.name() == name.as_str());
        let size = (video.width(), video.height());
        let source = Source {
            layout: layout.ok_or("an unknown layout")?,
            width: size.0 as usize,
            height: size.1 as usize,
            colour: Colour::default(),
        };
        let plan = Plan::new(size, to.map(|(width, height)| Size::Exact(width, height)), Fit::Crop)?;
        // Cells of 8×8 pixels: 1080 rows are not padded.
        let output = to.unwrap_or(size);
        Ok(Self {
            video: video.clone(),
            source,
            converter: Converter::new(source, Method::Swscale),
            resizer: to.map(|_| Resizer::new(plan, Interpolation::Bilinear)),
            stack: FrameStack::new(frame_type, STEP, output, output),
        })
    }
}

impl Maker for Ours {
    fn take(&mut self, picture: &gst::Buffer, frame: usize) -> Result<()> {
        let picture = gst_video::VideoFrameRef::from_buffer_ref_readable(picture, &self.video)?;
        let planes: Vec<_> = (0..picture.n_planes())
            .map(|plane| {
                Ok((
                    picture.plane_data(plane)?,
                    picture.plane_stride()[plane as usize] as usize,
                ))
            })
            .collect::<Result<_>>()?;
        let planes = Planes::check(&self.source, &planes)?;
        let (converter, index) = (&mut self.converter, frame % STEP);
        match &mut self.resizer {
            None => self.stack.set(index, |y, row| converter.row(&planes, y, row)),
            Some(resizer) => {
                let columns = resizer.columns();
                let fetch = |y: usize, row: &mut [u8]| converter.part(&planes, y, columns.clone(), row);
                self.stack.set_floats(index, |put| resizer.run(fetch, put));
            }
        }
        std::hint::black_box(self.stack.bytes());
        Ok(())
    }
}
