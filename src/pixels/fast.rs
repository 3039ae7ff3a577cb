//! swscale's SIMD path: 8-bit 4:2:0 of even height, and 4:2:2.
//!
//! Every product is cut to a whole number by itself, which makes pictures a level darker than exact ones. A chroma sample
//! counts for all luma samples that share it.

use multiversion::multiversion;

use super::block::{BLOCK, HALF, filled, interleave};
use super::colour::{Colour, Factors};

pub(super) struct Fast {
    factors: Factors<i16>,
    /// Eight times the luma of black.
    black: i16,
}

impl Fast {
    pub fn new(colour: Colour) -> Self {
        Self {
            factors: colour.factors_13(),
            black: if colour.is_full_range { 0 } else { 128 },
        }
    }

    /// `luma`: a sample a pixel. `u`, `v`: a sample for two.
    pub fn row(&self, luma: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) {
        row(luma, u, v, self.factors, self.black, out);
    }
}

#[multiversion(targets("x86_64+avx2", "x86_64+ssse3"))]
fn row(luma: &[u8], u: &[u8], v: &[u8], factors: Factors<i16>, black: i16, out: &mut [u8]) {
    let (blocks, luma_left) = luma.as_chunks::<BLOCK>();
    let (us, vs) = (u.as_chunks::<HALF>().0, v.as_chunks::<HALF>().0);
    let (outs, out_left) = out.as_chunks_mut::<{ BLOCK * 3 }>();
    for (((luma, u), v), out) in blocks.iter().zip(us).zip(vs).zip(outs) {
        block(luma, u, v, factors, black, out);
    }
    if !luma_left.is_empty() {
        let (u_left, v_left) = (&u[blocks.len() * HALF..], &v[blocks.len() * HALF..]);
        let (luma, u, v) = (filled(luma_left), filled(u_left), filled(v_left));
        let mut pixels = [0; BLOCK * 3];
        block(&luma, &u, &v, factors, black, &mut pixels);
        out_left.copy_from_slice(&pixels[..out_left.len()]);
    }
}

#[inline(always)]
fn block(
    luma: &[u8; BLOCK],
    u: &[u8; HALF],
    v: &[u8; HALF],
    factors: Factors<i16>,
    black: i16,
    out: &mut [u8; BLOCK * 3],
) {
    let (mut red, mut green, mut blue) = ([0; HALF], [0; HALF], [0; HALF]);
    for i in 0..HALF {
        let (u, v) = (i16::from(u[i]) * 8 - 1024, i16::from(v[i]) * 8 - 1024);
        red[i] = high(v, factors.v_red);
        green[i] = high(u, factors.u_green) + high(v, factors.v_green);
        blue[i] = high(u, factors.u_blue);
    }
    let mut planes = [[0u8; BLOCK]; 3];
    for (plane, chroma) in planes.iter_mut().zip([red, green, blue]) {
        for i in 0..BLOCK {
            let luma = high(i16::from(luma[i]) * 8 - black, factors.y);
            plane[i] = (luma + chroma[i / 2]).clamp(0, 255) as u8;
        }
    }
    interleave(&planes, out);
}

/// The upper half of a product of 32 bits.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}
