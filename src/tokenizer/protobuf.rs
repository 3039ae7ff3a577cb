//! The wire format of protobuf. It is read field by field and without allocation: with an object per message, as
//! protobuf libraries make them, a hostile ONNX file could take dozens of times its size in memory.

/// A field of a message; `raw` is all of its bytes, key included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u64,
    pub value: Value<'a>,
    pub raw: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes, which are not needed here.
    Fixed,
}

/// The bytes are not a protobuf message, or one with groups, which ONNX does not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Iterates over the fields of a message; ends after the first error.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.0;
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        // Keys have 32 bits, and 0 is not a field number.
        let number = key >> 3;
        if number == 0 || key > u64::from(u32::MAX) {
            return Err(Malformed);
        }
        let raw = &start[..start.len() - self.0.len()];
        Ok(Field { number, value, raw })
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            // Only one bit of a tenth byte counts.
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The numbers packed into a field, up to the first incomplete one.
pub fn numbers(packed: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = Fields::new(packed);
    std::iter::from_fn(move || rest.number().ok())
}

/// Bytes reserved for the length of a message, which is known only after it is written: enough for 35 bits.
const LENGTH_BYTES: usize = 5;

/// Appends a field with a number.
pub fn put_integer(number: u64, value: u64, to: &mut Vec<u8>) {
    put_number(number << 3, to);
    put_number(value, to);
}

/// Appends a field with bytes or text.
pub fn put_bytes(number: u64, bytes: &[u8], to: &mut Vec<u8>) {
    put_number(number << 3 | 2, to);
    put_number(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// Appends a field with a message, whose own fields `write` appends. Returns what `write` returns.
pub fn put_message<R>(number: u64, to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    put_number(number << 3 | 2, to);
    let length_at = to.len();
    to.extend_from_slice(&[0; LENGTH_BYTES]);
    let result = write(to);
    let length = (to.len() - length_at - LENGTH_BYTES) as u64;
    for (place, byte) in to[length_at..length_at + LENGTH_BYTES].iter_mut().enumerate() {
        let more = if place + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        *byte = (length >> (7 * place)) as u8 & 0x7f | more;
    }
    result
}

fn put_number(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        Fields::new(bytes)
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect()
    }

    /// Examples from the encoding page of protobuf's documentation.
    #[test]
    fn fields_are_read_as_protobuf_writes_them() {
        assert_eq!(fields(&[0x08, 0x96, 0x01]), Ok(vec![(1, Value::Number(150))]));
        let testing = b"\x12\x07testing";
        assert_eq!(fields(testing), Ok(vec![(2, Value::Bytes(b"testing"))]));
        let fixed = [0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(fields(&fixed), Ok(vec![(1, Value::Fixed), (2, Value::Fixed)]));
        let raw: Vec<_> = Fields::new(&fixed).map(|field| field.unwrap().raw).collect();
        assert_eq!(raw, [&fixed[..5], &fixed[5..]]);
        assert_eq!(
            fields(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Ok(vec![(1, Value::Number(u64::MAX))])
        );
    }

    #[test]
    fn what_is_cut_or_impossible_is_malformed() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 0x07, b't'],
            &[0x0d, 1, 2, 3],
            &[0x00, 0x01],
            // Groups, and an unknown wire type.
            &[0x0b, 0x0c],
            &[0x0e],
            // A number of eleven bytes, and a length beyond any memory.
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert_eq!(fields(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        put_bytes(9, &[7; 300], &mut bytes);
        put_message(5, &mut bytes, |to| to.extend([8; 200]));
        put_integer(3, u64::MAX, &mut bytes);
        let expected = vec![
            (9, Value::Bytes(&[7; 300])),
            (5, Value::Bytes(&[8; 200])),
            (3, Value::Number(u64::MAX)),
        ];
        assert_eq!(fields(&bytes), Ok(expected));
    }
}
