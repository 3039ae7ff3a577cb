//! Compares a reconstruction with the original: PSNR and SSIM of RGB pictures without padding between rows.

/// Luma weights of BT.601, as in the training code.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
/// The window of the SSIM paper: 11×11, standard deviation 1.5.
const WINDOW: usize = 11;
const DEVIATION: f32 = 1.5;

/// PSNR in dB over all three colours; 120 for equal pictures.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let error = squares as f64 / a.len().max(1) as f64;
    10.0 * (255f64.powi(2) / error.max(255f64.powi(2) / 1e12)).log10()
}

/// Mean SSIM of luma over all positions where the window is inside the picture.
pub fn ssim(a: &[u8], b: &[u8], width: usize) -> f64 {
    let (a, b) = (luma(a), luma(b));
    let blurred_product = |x: &[f32], y: &[f32]| {
        let product: Vec<f32> = x.iter().zip(y).map(|(x, y)| x * y).collect();
        blur(&product, width)
    };
    let (mean_a, mean_b) = (blur(&a, width), blur(&b, width));
    let (aa, bb, ab) = (
        blurred_product(&a, &a),
        blurred_product(&b, &b),
        blurred_product(&a, &b),
    );
    let (c1, c2) = ((0.01f32 * 255.0).powi(2), (0.03f32 * 255.0).powi(2));
    let count = mean_a.len().max(1);
    let total: f64 = (0..mean_a.len())
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let covariance = ab[i] - ma * mb;
            let variances = aa[i] - ma * ma + bb[i] - mb * mb;
            let brightness = (2.0 * ma * mb + c1) / (ma * ma + mb * mb + c1);
            f64::from(brightness * (2.0 * covariance + c2) / (variances + c2))
        })
        .sum();
    total / count as f64
}

fn luma(picture: &[u8]) -> Vec<f32> {
    let weighted = |pixel: &[u8]| {
        pixel
            .iter()
            .zip(LUMA)
            .map(|(value, weight)| f32::from(*value) * weight)
            .sum()
    };
    picture.chunks_exact(3).map(weighted).collect()
}

/// Weighted means under the window at all positions inside the picture: first along rows, then along columns.
fn blur(picture: &[f32], width: usize) -> Vec<f32> {
    let window = window();
    let narrow = (width + 1).saturating_sub(WINDOW);
    if narrow == 0 {
        return Vec::new();
    }
    let along_row = |row: &[f32], x: usize| row[x..x + WINDOW].iter().zip(window).map(|(v, w)| v * w).sum::<f32>();
    let rows: Vec<Vec<f32>> = picture
        .chunks_exact(width)
        .map(|row| (0..narrow).map(|x| along_row(row, x)).collect())
        .collect();
    let mut result = Vec::with_capacity(rows.len() * narrow);
    for rows in rows.windows(WINDOW) {
        let mut sums = vec![0.0; narrow];
        for (row, weight) in rows.iter().zip(window) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        result.extend(sums);
    }
    result
}

/// One axis of the window; its weights sum up to 1.
fn window() -> [f32; WINDOW] {
    let centre = (WINDOW / 2) as f32;
    let bell: [f32; WINDOW] = std::array::from_fn(|i| (-((i as f32 - centre) / DEVIATION).powi(2) / 2.0).exp());
    let sum: f32 = bell.iter().sum();
    bell.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width 20, some structure.
    fn picture(change: impl Fn(u8) -> u8) -> Vec<u8> {
        (0..20 * 16 * 3)
            .map(|i: usize| change((i * i % 83 + 60) as u8))
            .collect()
    }

    #[test]
    fn equal_pictures() {
        let a = picture(|v| v);
        assert_eq!(psnr(&a, &a), 120.0);
        assert!((ssim(&a, &a, 20) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn psnr_of_a_known_error() {
        // Every value is off by 5: 10 · log10(255² / 25).
        let psnr = psnr(&picture(|v| v), &picture(|v| v + 5));
        assert!((psnr - 34.1514).abs() < 1e-4, "{psnr}");
    }

    #[test]
    fn ssim_of_flat_pictures_is_that_of_their_brightness() {
        // Without structure only (2ab + c1) / (a² + b² + c1) is left, with c1 = 6.5025.
        let (a, b) = ([100u8; 20 * 16 * 3], [150u8; 20 * 16 * 3]);
        let expected = (2.0 * 15_000.0 + 6.5025) / (10_000.0 + 22_500.0 + 6.5025);
        assert!((ssim(&a, &b, 20) - expected).abs() < 1e-3);
    }

    #[test]
    fn inverted_structure_is_worse_than_noise_free_contrast() {
        let a = picture(|v| v);
        let inverted = ssim(&a, &picture(|v| 202 - v), 20);
        let flatter = ssim(&a, &picture(|v| v / 2 + 50), 20);
        assert!(inverted < 0.0 && flatter > 0.7, "{inverted} {flatter}");
    }
}
