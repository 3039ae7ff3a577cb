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
    /// Preferred: a graph for another machine gives the same, if slower.
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
    /// Of `forms`, targets and precisions, the place of the one that suits best; `None` where none does. Exact tokens
    /// matter more than speed.
    pub(super) fn choose(self, forms: &[(&str, &str)]) -> Option<usize> {
        let precisions = match &self.precision {
            Some(precision) => std::slice::from_ref(precision),
            None => &[Precision::Fp32, Precision::Fp16],
        };
        let targets = match self.target {
            Target::Cpu => [Target::Cpu, Target::Gpu],
            Target::Gpu => [Target::Gpu, Target::Cpu],
        };
        let order = precisions
            .iter()
            .flat_map(|p| targets.map(|t| (t.as_str(), p.as_str())));
        order
            .into_iter()
            .find_map(|form| forms.iter().position(|found| *found == form))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_precision_unless_told_otherwise_and_then_the_wanted_target() {
        let forms = [("cpu", "fp32"), ("gpu", "fp16"), ("gpu", "fp32")];
        let choose = |forms: &[(&str, &str)], target, precision| Wanted { target, precision }.choose(forms);
        assert_eq!(choose(&forms, Target::Gpu, None), Some(2));
        assert_eq!(choose(&forms, Target::Gpu, Some(Precision::Fp16)), Some(1));
        assert_eq!(choose(&forms, Target::Cpu, None), Some(0));
        // Nobody has asked for half precision.
        assert_eq!(choose(&forms[..2], Target::Gpu, None), Some(0));
        // The other form, of the precision that was asked for.
        assert_eq!(choose(&forms, Target::Cpu, Some(Precision::Fp16)), Some(1));
        assert_eq!(choose(&forms[2..], Target::Cpu, None), Some(0));
        assert_eq!(choose(&forms[..1], Target::Gpu, Some(Precision::Fp16)), None);
        // Nothing else there: better than nothing, where nothing else was asked for.
        assert_eq!(choose(&[("cpu", "fp16")], Target::Cpu, None), Some(0));
        assert_eq!(choose(&[("npu", "fp32")], Target::Cpu, None), None);
    }
}
