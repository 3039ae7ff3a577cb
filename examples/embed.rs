//! Tokens in a Rust program: pictures go in, numbers come out; numbers go in, pictures come out.
//!
//!     ORT_DYLIB_PATH=.local/lib/onnxruntime cargo run --release --example embed
//!
//! The elements are part of this program ([`gstvidtok::plugin_register_static`]). A program that finds them as a plugin,
//! by `GST_PLUGIN_PATH`, leaves that line out and needs this crate neither to build nor to run.

use std::process::ExitCode;

use gst::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// Width and height of the pictures. GStreamer pads rows of RGB to 4 bytes; a multiple of 4 needs no padding.
pub const SIZE: [usize; 2] = [256, 192];
/// The built-in tokenizer makes one latent frame of the first picture, and one of each four after it: 5.
const FRAMES: usize = 17;
/// No picture and no token takes longer, so whoever waits that long waits for nothing.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

pub type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    gst::init()?;
    gstvidtok::plugin_register_static()?;

    let mut kept = Vec::new();
    let caps = encode((0..FRAMES).map(picture), |tokens, shape| {
        println!("tokens {shape:?}: {:?} …", &tokens[..6]);
        // They are GStreamer's memory, which is gone after this function. What is kept has to be copied.
        kept.push(tokens.to_vec());
    })?;
    println!("{caps}");
    decode(&caps, kept, |rgb| {
        println!("a picture of {} bytes: {:?} …", rgb.len(), &rgb[..6])
    })
}

/// A made-up picture: red, green and blue of each pixel, rows from top to bottom.
pub fn picture(number: usize) -> Vec<u8> {
    let wave =
        |x: usize, y: usize| (((x + 4 * number) as f64 / 40.0).sin() * (y as f64 / 30.0).cos() * 90.0 + 128.0) as u8;
    let pixel = |at: usize| [wave(at % SIZE[0], at / SIZE[0]), (at % SIZE[0] / 2) as u8, 96];
    (0..SIZE[0] * SIZE[1]).flat_map(pixel).collect()
}

/// Gives `take` the tokens of each buffer as they come, with their shape `[t, h, w]`: latent frames, rows, columns.
/// Returns the caps, which say all else of them.
pub fn encode(
    pictures: impl IntoIterator<Item = Vec<u8>>,
    mut take: impl FnMut(&[u16], [usize; 3]),
) -> Result<gst::Caps, Error> {
    let video = format!(
        "video/x-raw,format=RGB,width={},height={},framerate=30/1",
        SIZE[0], SIZE[1]
    );
    // Without these caps, tokens come as packets of the byte stream, as files have them (docs/stream.md).
    let line = Line::new("vidtokenc ! video/x-vidtok,stream-format=raw", &video.parse()?)?;
    let mut caps = None;
    let mut pull = |sample: gst::Sample| -> Result<(), Error> {
        let (buffer, caps) = (
            sample.buffer().ok_or("no buffer")?,
            caps.insert(sample.caps_owned().ok_or("no caps")?),
        );
        let fields = caps.structure(0).ok_or("empty caps")?;
        let [h, w] = [
            fields.get::<i32>("grid-height")? as usize,
            fields.get::<i32>("grid-width")? as usize,
        ];
        let map = buffer.map_readable()?;
        // No copy, and no `unsafe`: this checks that the memory is aligned and has whole numbers. Tokens are little
        // endian, as processors are that this crate runs on. Other tokenizers may have other types: `token-type`.
        let tokens = <[u16]>::ref_from_bytes(&map).map_err(|error| error.to_string())?;
        take(tokens, [tokens.len() / (h * w), h, w]);
        Ok(())
    };
    for (number, rgb) in pictures.into_iter().enumerate() {
        // The buffer owns the vector: no copy here, either.
        let mut buffer = gst::Buffer::from_mut_slice(rgb);
        buffer.make_mut().set_pts(gst::ClockTime::SECOND * number as u64 / 30);
        // Returns at once. With pictures without end, set `block` and `max-buffers`, and push from a thread of its own.
        line.source.push_buffer(buffer)?;
        while let Some(sample) = line.sink.try_pull_sample(gst::ClockTime::ZERO) {
            pull(sample)?;
        }
    }
    line.finish(pull)?;
    caps.ok_or_else(|| "there were no pictures".into())
}

/// Gives `take` red, green and blue of each picture that `tokens` stand for; each vector is whole latent frames.
///
/// Caps of one's own need no more than
/// `video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=256,height=192,framerate=30/1` (docs/raw.md).
pub fn decode(
    caps: &gst::Caps,
    tokens: impl IntoIterator<Item = Vec<u16>>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let line = Line::new("vidtokdec ! video/x-raw,format=RGB", caps)?;
    for (number, tokens) in tokens.into_iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(Numbers(tokens));
        if number > 0 {
            // All are one segment. A buffer without this flag starts another one, which knows nothing of those before.
            buffer.make_mut().set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        line.source.push_buffer(buffer)?;
    }
    line.finish(|sample| {
        take(&sample.buffer().ok_or("no buffer")?.map_readable()?);
        Ok(())
    })
}

/// Lets a buffer own numbers, as it can own whatever lends it bytes.
struct Numbers(Vec<u16>);

impl AsRef<[u8]> for Numbers {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Elements that this program feeds and reads.
struct Line {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Line {
    fn new(elements: &str, caps: &gst::Caps) -> Result<Self, Error> {
        // Not at the pace of a clock (`sync`), but as fast as it goes.
        let text = format!("appsrc name=source format=time ! {elements} ! appsink name=sink sync=false");
        let pipeline = gst::parse::launch(&text)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "no pipeline")?;
        let element = |name| pipeline.by_name(name).ok_or("no such element");
        let source = element("source")?
            .downcast::<gst_app::AppSrc>()
            .map_err(|_| "no appsrc")?;
        let sink = element("sink")?
            .downcast::<gst_app::AppSink>()
            .map_err(|_| "no appsink")?;
        source.set_caps(Some(caps));
        let line = Self { pipeline, source, sink };
        line.pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| line.error().unwrap_or(error.into()))?;
        Ok(line)
    }

    /// Says that nothing more goes in, and takes what still comes out.
    fn finish(&self, mut take: impl FnMut(gst::Sample) -> Result<(), Error>) -> Result<(), Error> {
        self.source.end_of_stream()?;
        while let Some(sample) = self.sink.try_pull_sample(PATIENCE) {
            take(sample)?;
        }
        // An error ends the stream, too: only the bus tells them apart.
        match self.error() {
            Some(error) => Err(error),
            None if self.sink.is_eos() => Ok(()),
            None => Err(format!("nothing came for {PATIENCE}").into()),
        }
    }

    /// What went wrong, in the words of the element, which are for users: which model, which caps, what to do.
    fn error(&self) -> Option<Error> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(error) = message.view() else {
            return None;
        };
        Some(error.error().to_string().into())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A pipeline that is not stopped keeps its threads.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
