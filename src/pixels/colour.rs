//! What YUV numbers mean.

/// Which mixture of R, G and B the luma is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrix {
    /// Also SMPTE 170M and BT.470BG, and what counts where nothing is said, at every size.
    #[default]
    Bt601,
    Bt709,
    Fcc,
    Smpte240m,
    Bt2020,
}

impl Matrix {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bt601 => "bt601",
            Self::Bt709 => "bt709",
            Self::Fcc => "fcc",
            Self::Smpte240m => "smpte240m",
            Self::Bt2020 => "bt2020",
        }
    }

    /// The shares of red and blue in luma, in 1/10,000 (ITU-T H.273, table 4).
    pub(super) fn red_and_blue(self) -> (i64, i64) {
        match self {
            Self::Bt601 => (2990, 1140),
            Self::Bt709 => (2126, 722),
            Self::Fcc => (3000, 1100),
            Self::Smpte240m => (2120, 870),
            Self::Bt2020 => (2627, 593),
        }
    }

    /// swscale's own numbers, with 16 fractional bits, from chroma of limited range: V to R, U to B, U to G, V to G.
    fn swscale(self) -> [i32; 4] {
        match self {
            Self::Bt601 => [104_597, 132_201, -25_675, -53_279],
            Self::Bt709 => [117_489, 138_438, -13_975, -34_925],
            Self::Fcc => [104_448, 132_798, -24_759, -53_109],
            Self::Smpte240m => [117_579, 136_230, -16_907, -35_559],
            Self::Bt2020 => [110_013, 140_363, -12_277, -42_626],
        }
    }
}

/// Where a chroma sample lies between the luma samples that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Siting {
    /// On the left one, not in the middle.
    pub is_left: bool,
    /// On the upper one, not in the middle.
    pub is_top: bool,
}

impl Siting {
    pub const LEFT: Self = Self {
        is_left: true,
        is_top: false,
    };
    pub const CENTRE: Self = Self {
        is_left: false,
        is_top: false,
    };

    pub fn as_str(self) -> &'static str {
        match (self.is_left, self.is_top) {
            (true, true) => "top-left",
            (true, false) => "left",
            (false, true) => "top",
            (false, false) => "centre",
        }
    }
}

/// What the numbers of a picture mean. The default counts where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colour {
    pub matrix: Matrix,
    /// Luma from 0 to 255 instead of 16 to 235.
    pub is_full_range: bool,
    /// `None`: not said. Then swscale takes the middle, and exact arithmetic the left, as most video has it.
    pub siting: Option<Siting>,
}

/// Factors of Y, and of V to R, U to B, U to G, V to G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors<T> {
    pub y: T,
    pub v_red: T,
    pub u_blue: T,
    pub u_green: T,
    pub v_green: T,
}

impl Colour {
    /// swscale's factors with 16 fractional bits.
    pub(super) fn factors_16(self) -> Factors<i32> {
        let [v_red, u_blue, u_green, v_green] = self.matrix.swscale().map(|factor| match self.is_full_range {
            // Cut towards zero.
            true => (i64::from(factor) * 224 / 255) as i32,
            false => factor,
        });
        let y = if self.is_full_range { 65_536 } else { 65_536 * 255 / 219 };
        Factors {
            y,
            v_red,
            u_blue,
            u_green,
            v_green,
        }
    }

    /// swscale's factors with 13 fractional bits, rounded half up. They fit 16 bits.
    pub(super) fn factors_13(self) -> Factors<i16> {
        let rounded = |factor: i32| ((i64::from(factor) * 8192 + 32_768) >> 16) as i16;
        let Factors {
            y,
            v_red,
            u_blue,
            u_green,
            v_green,
        } = self.factors_16();
        Factors {
            y: rounded(y),
            v_red: rounded(v_red),
            u_blue: rounded(u_blue),
            u_green: rounded(u_green),
            v_green: rounded(v_green),
        }
    }
}
