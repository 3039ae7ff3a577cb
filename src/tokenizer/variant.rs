//! The variants of a tokenizer: pairs of graphs for a kind of machine, in a precision.

/// The kind of machine that a variant is made for.
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

/// The number format that a graph calculates in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision: tokens are exactly those of the tokenizer.
    Fp32,
    /// Half precision where it does little harm: a few tokens differ.
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

/// Which variant of a tokenizer to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariantChoice {
    /// Preferred: a variant for another kind of machine gives the same, but slower.
    pub target: Target,
    /// Required; `None`: single precision if there is such a variant, else another.
    pub precision: Option<Precision>,
}

impl From<Target> for VariantChoice {
    fn from(target: Target) -> Self {
        Self {
            target,
            precision: None,
        }
    }
}

impl VariantChoice {
    /// The index of the best of `variants`, which are targets and precisions; `None` if none suits. Exact tokens matter
    /// more than speed.
    pub(super) fn choose(self, variants: &[(&str, &str)]) -> Option<usize> {
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
            .find_map(|best| variants.iter().position(|variant| *variant == best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_matters_more_than_the_target() {
        let variants = [("cpu", "fp32"), ("gpu", "fp16"), ("gpu", "fp32")];
        let choose =
            |variants: &[(&str, &str)], target, precision| VariantChoice { target, precision }.choose(variants);
        assert_eq!(choose(&variants, Target::Gpu, None), Some(2));
        assert_eq!(choose(&variants, Target::Gpu, Some(Precision::Fp16)), Some(1));
        assert_eq!(choose(&variants, Target::Cpu, None), Some(0));
        // Half precision must be asked for.
        assert_eq!(choose(&variants[..2], Target::Gpu, None), Some(0));
        // A variant for the other target, in the precision that was asked for.
        assert_eq!(choose(&variants, Target::Cpu, Some(Precision::Fp16)), Some(1));
        assert_eq!(choose(&variants[2..], Target::Cpu, None), Some(0));
        assert_eq!(choose(&variants[..1], Target::Gpu, Some(Precision::Fp16)), None);
        // The only variant, as no other precision was asked for.
        assert_eq!(choose(&[("cpu", "fp16")], Target::Cpu, None), Some(0));
        assert_eq!(choose(&[("npu", "fp32")], Target::Cpu, None), None);
    }
}
