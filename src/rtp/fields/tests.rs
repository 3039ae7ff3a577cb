use std::collections::BTreeMap;

use super::*;

fn kl() -> TokenFormat {
    let regularizer = Regularizer::Kl { channels: 4 };
    TokenFormat {
        token_type: TokenType::Float16,
        regularizer,
        ..TokenFormat::toy(&[2], 3, 2)
    }
}

fn map(format: &TokenFormat) -> BTreeMap<&'static str, String> {
    let fields = of(format);
    let count = fields.len();
    let map = BTreeMap::from_iter(fields);
    assert_eq!(map.len(), count, "a name stands twice");
    map
}

fn read_map(map: &BTreeMap<&'static str, String>) -> Result<TokenFormat, FormatError> {
    read(|name| map.get(name).cloned())
}

#[test]
fn a_format_comes_back_from_its_fields() {
    let named = TokenFormat {
        model: " a;b = \"c\" 100% {ü} ".into(),
        colorimetry: Some("bt709; 1".into()),
        pixels: Some("yuv=swscale:bt601:limited".into()),
        framerate: Fraction::new(30000, 1001),
        causal: false,
        // Not whole cells.
        width: 30,
        height: 9,
        grid_width: 4,
        grid_height: 2,
        ..TokenFormat::toy(&[8, 8, 8, 5, 5, 5], 4, 2)
    };
    for format in [TokenFormat::toy(&[8; 5], 2, 1), kl(), named] {
        let map = map(&format);
        assert_eq!(read_map(&map), Ok(format));
        for (name, value) in map {
            assert_eq!(name, name.to_lowercase());
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "-._~%,/".contains(c);
            assert!(value.chars().all(is_safe), "{name}={value}");
        }
    }
}

#[test]
fn the_short_digest_is_of_what_decodes() {
    let format = TokenFormat::toy(&[8; 5], 2, 1);
    let same = TokenFormat {
        model: "other".into(),
        framerate: Fraction::new(25, 1),
        colorimetry: Some("sRGB".into()),
        pixels: None,
        // How `raw` buffers have the indices.
        token_type: TokenType::Uint32,
        ..format.clone()
    };
    assert_eq!(short_digest(&format), short_digest(&same));
    let others = [
        TokenFormat {
            digest: "1".repeat(64),
            ..format.clone()
        },
        TokenFormat {
            width: 15,
            ..format.clone()
        },
        TokenFormat {
            time_factor: 2,
            ..format.clone()
        },
        TokenFormat {
            causal: false,
            ..format.clone()
        },
        TokenFormat::toy(&[8, 8, 8, 8, 4], 2, 1),
    ];
    for other in others {
        assert_ne!(short_digest(&format), short_digest(&other), "{other:?}");
    }
}

#[test]
fn a_field_that_is_missing_or_impossible_is_named() {
    for format in [TokenFormat::toy(&[8; 5], 2, 1), kl()] {
        let whole = map(&format);
        for (name, _) in decisive(&format) {
            let mut fields = whole.clone();
            fields.remove(name);
            assert!(read_map(&fields).unwrap_err().to_string().contains(name), "{name}");
        }
        for name in whole
            .keys()
            .copied()
            .filter(|name| ![MODEL, COLORIMETRY].contains(name))
        {
            for bad in ["", "-1", "x", "99999999999999999999", &"1".repeat(MAX_VALUE + 1)] {
                let mut fields = whole.clone();
                fields.insert(name, bad.into());
                assert!(read_map(&fields).is_err(), "{name}={bad}");
            }
        }
    }
    let mut fields = map(&kl());
    fields.insert(SPACE_FACTOR, "0".into());
    assert!(read_map(&fields).is_err());
    let mut fields = map(&TokenFormat::toy(&[8; 5], 2, 1));
    fields.insert(LEVELS, vec!["2"; 1000].join(","));
    assert!(read_map(&fields).is_err());
    fields.insert(VERSION, "2".into());
    assert!(read_map(&fields).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn what_only_people_and_screens_need_may_be_missing() {
    let format = TokenFormat::toy(&[8; 5], 2, 1);
    let mut fields = map(&format);
    for name in [MODEL, FRAMERATE, PIXEL_ASPECT_RATIO] {
        fields.remove(name);
    }
    let read = read_map(&fields).unwrap();
    assert_eq!(read.framerate, Fraction::new(0, 1));
    assert!(read.decodes_like(&format));
}
