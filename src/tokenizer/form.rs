//! The forms that a tokenizer's graphs come in: for which kind of machine, and in which precision.

/// The kind of machine that a graph's form was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Cpu,
    Gpu,
}

impl Target {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Cpu, Self::Gpu]
            .into_iter()
            .find(|target| target.as_str() == name)
    }
}

/// The numbers that a graph calculates with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single: tokens are exactly those of the tokenizer.
    Fp32,
    /// Half, where it does little harm: tokens differ now and then.
    Fp16,
}

impl Precision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Fp32, Self::Fp16];
        all.into_iter().find(|precision| precision.as_str() == name)
    }
}

/// Which of a tokenizer's graphs is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Preferred: a graph for a CPU runs everywhere, and takes the place of one that is not there.
    pub target: Target,
    /// This one or none; `None`: single, else whatever there is.
    pub precision: Option<Precision>,
}

impl From<Target> for Wanted {
    fn from(target: Target) -> Self {
        Self {
            target,
            precision: None,
        }
    }
}

impl Wanted {
    /// Of `forms`, the place of the one that suits best; `None` where none does.
    pub(super) fn choose(self, forms: &[(&str, &str)]) -> Option<usize> {
        let best = |target: Target| {
            let fits = |(found, precision): &(&str, &str)| {
                *found == target.as_str() && self.precision.is_none_or(|wanted| *precision == wanted.as_str())
            };
            let fitting = forms.iter().enumerate().filter(|(_, form)| fits(form));
            let best = fitting.max_by_key(|(_, (_, precision))| *precision == Precision::Fp32.as_str());
            best.map(|(index, _)| index)
        };
        best(self.target).or_else(|| best(Target::Cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_form_else_one_for_a_cpu_and_single_precision_unless_told_otherwise() {
        let forms = [("cpu", "fp32"), ("gpu", "fp16"), ("gpu", "fp32")];
        let choose = |forms: &[(&str, &str)], target, precision| Wanted { target, precision }.choose(forms);
        assert_eq!(choose(&forms, Target::Gpu, None), Some(2));
        assert_eq!(choose(&forms, Target::Gpu, Some(Precision::Fp16)), Some(1));
        assert_eq!(choose(&forms, Target::Cpu, None), Some(0));
        // None for a CPU in half precision, and one for a GPU need not run there.
        assert_eq!(choose(&forms, Target::Cpu, Some(Precision::Fp16)), None);
        assert_eq!(choose(&forms[..1], Target::Gpu, None), Some(0));
        assert_eq!(choose(&forms[..1], Target::Gpu, Some(Precision::Fp16)), None);
        // Nothing else there: better than nothing, where nothing else was asked for.
        assert_eq!(choose(&[("cpu", "fp16")], Target::Cpu, None), Some(0));
        assert_eq!(choose(&[], Target::Cpu, None), None);
    }
}
