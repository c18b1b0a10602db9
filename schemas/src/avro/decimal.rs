//! Avro's decimals ⇄ their texts.
//!
//! An unscaled number is an integer of 128 bits; its bytes are big-endian in two's complement; its text has a point before
//! the last `scale` digits. None where the other side cannot say it.

/// The number in two's complement of any length; none where it has more than 128 bits.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let (fill, last) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut whole = [sign; 16];
    whole[16 - last.len()..].copy_from_slice(last);
    let number = i128::from_be_bytes(whole);
    let same_sign = number.is_negative() == (sign == 0xff);
    (same_sign && fill.iter().all(|byte| *byte == sign)).then_some(number)
}

/// The number in as few bytes as it needs, at least one.
pub(super) fn to_bytes(number: i128) -> Vec<u8> {
    let bits = 129 - if number < 0 { number.leading_ones() } else { number.leading_zeros() };
    let size = usize::try_from(bits.div_ceil(8)).unwrap_or(16).min(16);
    number.to_be_bytes()[16 - size..].to_vec()
}

/// The number in exactly so many bytes, where it fits.
pub(super) fn to_fixed(number: i128, size: usize) -> Option<Vec<u8>> {
    let least = to_bytes(number);
    let fill = size.checked_sub(least.len())?;
    let sign = if number < 0 { 0xff } else { 0 };
    Some(std::iter::repeat_n(sign, fill).chain(least).collect())
}

/// `-12.34` for -1234 of scale 2.
pub(super) fn text(number: i128, scale: usize) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// Reads a text with at most `scale` digits behind the point, and at most `precision` in all.
pub(super) fn parse(text: &str, precision: usize, scale: usize) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let written = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !written(whole) || !fraction.is_none_or(written) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > scale {
        return None;
    }
    let number: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    let digits = number.checked_ilog10().map_or(1, |log| log + 1);
    (usize::try_from(digits).ok()? <= precision).then_some(sign * number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_back_from_its_bytes(number: i128, more in 0_usize..20) {
            let bytes = to_bytes(number);
            prop_assert_eq!(from_bytes(&bytes), Some(number));
            let fixed = to_fixed(number, bytes.len() + more).unwrap();
            prop_assert_eq!(from_bytes(&fixed), Some(number));
            prop_assert_eq!(to_fixed(number, bytes.len() - 1), None);
        }

        #[test]
        fn every_number_comes_back_from_its_text(number in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_usize..=38) {
            prop_assert_eq!(parse(&text(number, scale), 38, scale), Some(number));
        }

        #[test]
        fn any_bytes_and_texts_are_answered(bytes: Vec<u8>, text in "-?[0-9.]{0,45}") {
            let _ = from_bytes(&bytes);
            let _ = parse(&text, 38, 5);
        }
    }

    #[test]
    fn texts_are_as_people_write_them() {
        for (number, scale, expected) in
            [(-1234, 2, "-12.34"), (5, 3, "0.005"), (0, 0, "0"), (-7, 0, "-7"), (100, 2, "1.00")]
        {
            assert_eq!(text(number, scale), expected);
        }
        for (text, expected) in [("1", Some(100)), ("1.5", Some(150)), ("-0.05", Some(-5)), ("99999.99", None)] {
            assert_eq!(parse(text, 4, 2), expected, "{text}");
        }
        for text in ["", "-", ".", "1.", ".5", "1.234", "+1", "1e2", "--1", " 1", "1,5", "NaN"] {
            assert_eq!(parse(text, 9, 2), None, "{text}");
        }
    }

    #[test]
    fn a_number_of_more_than_128_bits_has_no_value_here() {
        let mut bytes = vec![1_u8];
        bytes.extend([0; 16]);
        assert_eq!(from_bytes(&bytes), None);
        bytes[0] = 0;
        bytes[1] = 0x80;
        assert_eq!(from_bytes(&bytes), None);
        assert_eq!(from_bytes(&[]), Some(0));
    }
}
