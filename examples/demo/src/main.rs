//! Tokenizes a video, reconstructs it from the tokens alone, and measures both. `demo.sh` runs this program.
//!
//! Like any application, it finds the elements through `GST_PLUGIN_PATH`; it does not link the plugin.

mod canvas;
mod metrics;
mod passes;
mod picture;
mod pipeline;
mod results;
mod source;
mod writer;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use passes::{Comparison, Encoding};
use results::Results;
use source::{SMALLEST, Source};
use writer::Format;

/// The folder of this program, two levels below the checkout.
const PROGRAM: &str = env!("CARGO_MANIFEST_DIR");
/// Options, each followed by a value.
const OPTIONS: [&str; 5] = ["--size", "--frames", "--key-interval", "--model", "--output"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The options that `demo.sh --help` describes.
struct Options {
    video: PathBuf,
    size: u32,
    frames: Option<u32>,
    key_interval: u32,
    model: Option<String>,
    output: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let checkout = Path::new(PROGRAM)
            .ancestors()
            .nth(2)
            .ok_or("the checkout is not known")?;
        let mut options = Self {
            video: checkout.join("examples/signing.mp4"),
            size: 360,
            frames: None,
            key_interval: 0,
            model: None,
            output: checkout.join("demo-output"),
        };
        let mut named: Option<String> = None;
        let mut options_ended = false;
        while let Some(argument) = arguments.next() {
            if argument == "--" && !options_ended {
                options_ended = true;
                continue;
            }
            if options_ended || !argument.starts_with('-') {
                if let Some(first) = named {
                    return Err(format!("one video at a time: {first} or {argument}?").into());
                }
                options.video = PathBuf::from(&argument);
                named = Some(argument);
                continue;
            }
            if !OPTIONS.contains(&argument.as_str()) {
                return Err(format!("unknown option {argument}: see demo.sh --help").into());
            }
            let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
            let number = |min: u32| {
                let number = value.parse().ok().filter(|number| *number >= min);
                number.ok_or_else(|| format!("{argument} needs a number from {min} on, not \"{value}\""))
            };
            match argument.as_str() {
                "--size" => options.size = number(SMALLEST)?,
                "--frames" => options.frames = Some(number(1)?),
                "--key-interval" => options.key_interval = number(0)?,
                "--model" => options.model = Some(value),
                _ => options.output = value.into(),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match arguments()
        .and_then(|arguments| Options::parse(arguments.into_iter()))
        .and_then(|options| run(&options))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Vec<String>> {
    let text = |argument: std::ffi::OsString| {
        let refused = |argument: std::ffi::OsString| format!("{} is not UTF-8: rename it", argument.display()).into();
        argument.into_string().map_err(refused)
    };
    std::env::args_os().skip(1).map(text).collect()
}

fn run(options: &Options) -> Result<()> {
    gst::init()?;
    for element in ["vidtokenc", "vidtokdec", "vidtokparse"] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!("GStreamer does not find {element}: is GST_PLUGIN_PATH set?").into());
        }
    }
    let model = options.model.as_deref();
    passes::check_tokenizer(model)?;
    let source = Source::open(&options.video, options.size, options.frames)?;
    println!("{source}");
    let results = Results::new(&options.output)?;
    results.forget_on_interrupt()?;

    let format = Format::best()?;
    let video = format!("reconstruction.{}", format.extension);
    let tokens = results.file("clip.vidtok");
    let encoding = passes::encode(&source, &tokens, options.key_interval, model)?;
    let comparison = passes::decode(&source, &encoding, &tokens, format, &results.file(&video), model)?;
    picture::write(&results.file("comparison.png"), &source, &comparison.columns)?;

    print_table(&source, &encoding, &comparison)?;
    println!("\nWritten:");
    let written = results.keep(&["clip.vidtok", &video, "comparison.png"])?;
    let what = [
        "the tokens",
        format.describe(&source),
        "originals, reconstructions, token maps",
    ];
    for (file, what) in written.iter().zip(what) {
        println!("  {}  {what}", file.display());
    }
    Ok(())
}

fn print_table(source: &Source, encoding: &Encoding, comparison: &Comparison) -> Result<()> {
    let token_bytes = encoding.file_bytes as f64;
    let frame_bits = f64::from(source.width * source.height * 24);
    let raw_bits = frame_bits * encoding.frames as f64;
    let ratio = |bits: f64| format!("{:.1} times the tokens", bits / (token_bytes * 8.0));
    let rate = |bits: f64| match comparison.seconds {
        Some(seconds) => format!("{} kbit/s", thousands(bits / seconds / 1e3)),
        None => format!("{} kbit", thousands(bits / 1e3)),
    };
    // Rounding may add one frame.
    let missing = match source.expected_frames() {
        Some(expected) if expected > encoding.frames + 1 => format!(" (by its length, the file has {expected})"),
        _ => String::new(),
    };
    let mut rows = vec![
        (
            "Frames",
            format!("{} in, {} out{missing}", encoding.frames, comparison.frames),
        ),
        ("Latent frames", encoding.latent_frames.to_string()),
        ("Segments", encoding.segments.to_string()),
        ("Token shape", encoding.shape.clone()),
        ("Tokens", rate(token_bytes * 8.0)),
        ("Raw video", format!("{} (RGB), {}", rate(raw_bits), ratio(raw_bits))),
    ];
    // Only the size of the whole file is known, not that of the first frames.
    if !source.is_cut() {
        let file_bits = std::fs::metadata(&source.path)?.len() as f64 * 8.0;
        rows.push((
            "Source file",
            format!("{} (all that is in it), {}", rate(file_bits), ratio(file_bits)),
        ));
    }
    let cores = std::thread::available_parallelism()?;
    rows.extend([
        ("Sound", comparison.sound.clone()),
        ("PSNR", format!("{:.2} dB (RGB, mean of frames)", comparison.psnr)),
        ("SSIM", format!("{:.3} (luma, mean of frames)", comparison.ssim)),
        ("Encode", encoding.speed.to_string()),
        ("Decode", comparison.speed.to_string()),
        ("Provider", format!("{} ({cores} cores)", encoding.provider)),
        ("Tokenizer", encoding.model.clone()),
    ]);
    if comparison.mistimed > 0 {
        rows.push((
            "Times",
            format!("frames out with another time than in: {}", comparison.mistimed),
        ));
    }
    println!();
    for (name, value) in rows {
        println!("{name:14} {value}");
    }
    Ok(())
}

/// The number with separators, such as `84,934`; below 100 with a decimal.
fn thousands(number: f64) -> String {
    let text = format!("{number:.1}");
    let (whole, decimal) = text.split_once('.').unwrap_or((&text, "0"));
    let mut separated = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            separated.push(',');
        }
        separated.push(digit);
    }
    if number < 100.0 {
        format!("{separated}.{decimal}")
    } else {
        separated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let numbers = [42.31, 999.0, 1000.0, 84934.7, 12345678.9].map(thousands);
        assert_eq!(numbers, ["42.3", "999", "1,000", "84,934", "12,345,678"]);
    }

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_string));
        let options = parse("--size 240 my.mp4 --frames 9").unwrap();
        assert_eq!(
            (options.size, options.frames, options.video),
            (240, Some(9), "my.mp4".into())
        );
        assert_eq!(parse("--size 240 -- -dash.mp4").unwrap().video, Path::new("-dash.mp4"));
        assert_eq!(parse("-- --").unwrap().video, Path::new("--"));
        for (text, part) in [
            ("--size", "--size"),
            ("--size big", "big"),
            ("--size 8", "from 16 on"),
            ("--frames 0", "from 1 on"),
            ("--speed 3", "unknown option --speed"),
            ("--bogus", "unknown option --bogus"),
            ("-- --size 240", "--size or 240"),
            ("one.mp4 two.mp4", "one.mp4 or two.mp4"),
        ] {
            assert!(parse(text).err().unwrap().to_string().contains(part), "{text}");
        }
    }
}
