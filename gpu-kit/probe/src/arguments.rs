//! The command line.

use gstvidtok::runtime::{ExecutionProvider, Options};
use gstvidtok::tokenizer::{Precision, Role};

use crate::Result;

#[derive(Clone, Debug)]
pub struct Arguments {
    pub model: Option<String>,
    /// Pixels a side.
    pub size: u32,
    pub steps: usize,
    pub provider: ExecutionProvider,
    /// `None`: float32, or what the tokenizer has.
    pub precision: Option<Precision>,
    pub streams: usize,
    pub batch: u32,
    pub role: Role,
    /// How the name of ONNX Runtime's profile begins.
    pub trace: Option<String>,
    pub cuda_graph: bool,
    /// Of ONNX Runtime's CUDA provider, beside those that the plugin sets, or in their place.
    pub provider_options: Vec<(String, String)>,
}

impl Arguments {
    pub fn options(&self) -> Options {
        Options {
            provider: self.provider,
            precision: self.precision,
            ..Options::default()
        }
    }
}

/// The command and its options.
///
/// # Errors
/// Names the word that is not understood.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<(String, Arguments)> {
    let command = words
        .next()
        .ok_or("a command is needed: open, compare, together or profile")?;
    let mut arguments = Arguments {
        model: None,
        size: 64,
        steps: 4,
        provider: ExecutionProvider::Cpu,
        precision: None,
        streams: 4,
        batch: 0,
        role: Role::Encoder,
        trace: None,
        cuda_graph: false,
        provider_options: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--model" => arguments.model = Some(value()?),
            "--size" => arguments.size = value()?.parse()?,
            "--steps" => arguments.steps = value()?.parse()?,
            "--provider" => arguments.provider = provider(&value()?)?,
            "--precision" => arguments.precision = Some(precision(&value()?)?),
            "--streams" => arguments.streams = value()?.parse()?,
            "--batch" => arguments.batch = value()?.parse()?,
            "--role" => arguments.role = role(&value()?)?,
            "--trace" => arguments.trace = Some(value()?),
            "--provider-option" => arguments.provider_options.push(key_and_value(&value()?)?),
            "--cuda-graph" => arguments.cuda_graph = true,
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    if arguments.size == 0 || arguments.steps == 0 || arguments.streams == 0 {
        return Err("--size, --steps and --streams begin at 1".into());
    }
    Ok((command, arguments))
}

fn key_and_value(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text} is not KEY=VALUE"))?;
    Ok((key.into(), value.into()))
}

fn provider(name: &str) -> Result<ExecutionProvider> {
    use ExecutionProvider::{Cpu, Cuda, OpenVino, TensorRt};
    let mut all = [Cpu, Cuda, TensorRt, OpenVino].into_iter();
    let found = all.find(|provider| provider.name() == name);
    found.ok_or_else(|| format!("there is no execution provider {name}").into())
}

fn precision(name: &str) -> Result<Precision> {
    let mut all = [Precision::Fp32, Precision::Fp16].into_iter();
    let found = all.find(|precision| precision.as_str() == name);
    found.ok_or_else(|| format!("--precision is fp32 or fp16, not {name}").into())
}

fn role(name: &str) -> Result<Role> {
    let found = [Role::Encoder, Role::Decoder]
        .into_iter()
        .find(|role| role.as_str() == name);
    found.ok_or_else(|| format!("--role is encoder or decoder, not {name}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(String, Arguments)> {
        parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn options_are_read() {
        let (command, arguments) = parsed("compare --model m --size 96 --provider cuda --precision fp16").unwrap();
        assert_eq!(command, "compare");
        assert_eq!((arguments.model.as_deref(), arguments.size), (Some("m"), 96));
        let options = arguments.options();
        assert_eq!(options.provider, ExecutionProvider::Cuda);
        assert_eq!(options.precision, Some(Precision::Fp16));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("compare --sise 3", "--sise"),
            ("compare --provider gpu", "gpu"),
            ("compare --model", "--model needs a value"),
            ("profile --provider-option use_tf32", "use_tf32 is not KEY=VALUE"),
            ("compare --steps 0", "begin at 1"),
            ("", "a command is needed"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
