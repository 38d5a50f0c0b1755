//! A failure as Flink's own client reads it: a Java object, by the rules of Java's object serialization protocol.
//!
//! ```text
//!  magic ─► class SerializedThrowable ─► its parents Exception, Throwable ─► the values, parents' first
//! ```
//!
//! Flink's class for failures that come from elsewhere keeps the name of a class, a message and a printed stack trace, and no
//! object of the class itself. That is what we have, too.

/// What Java calls them, with the number of the version that Flink 2 and Java know them by.
const SERIALIZED_THROWABLE: (&str, u64) = ("org.apache.flink.util.SerializedThrowable", 0x6516_9df5_1fa7_13f3);
const EXCEPTION: (&str, u64) = ("java.lang.Exception", 0xd0fd_1f3e_1a3b_1cc4);
const THROWABLE: (&str, u64) = ("java.lang.Throwable", 0xd5c6_3527_3977_b8cb);

const MAGIC: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const END: u8 = 0x78;
const LONG_STRING: u8 = 0x7c;

/// A class that is written field by field.
const PLAIN: u8 = 0x02;
/// The same, and the class adds something of its own, which here is nothing.
const WITH_MORE: u8 = 0x03;

/// The second thing that is written below, the name of a type, to which fields of that type refer.
const TYPE_STRING: [u8; 5] = [REFERENCE, 0x00, 0x7e, 0x00, 0x01];

/// A failure of class `class`, which says `message`, as the base64 of a Java object.
pub(super) fn serialized(class: &str, message: &str, stack_trace: &str) -> String {
    let mut bytes = MAGIC.to_vec();
    bytes.push(OBJECT);
    begin_class(&mut bytes, SERIALIZED_THROWABLE, PLAIN, 3);
    field(&mut bytes, b'L', "fullStringifiedStackTrace", Some("Ljava/lang/String;"));
    field(&mut bytes, b'L', "originalErrorClassName", None);
    field(&mut bytes, b'[', "serializedException", Some("[B"));
    bytes.push(END);
    begin_class(&mut bytes, EXCEPTION, PLAIN, 0);
    bytes.push(END);
    begin_class(&mut bytes, THROWABLE, WITH_MORE, 4);
    field(&mut bytes, b'L', "cause", Some("Ljava/lang/Throwable;"));
    field(&mut bytes, b'L', "detailMessage", None);
    field(&mut bytes, b'[', "stackTrace", Some("[Ljava/lang/StackTraceElement;"));
    field(&mut bytes, b'L', "suppressedExceptions", Some("Ljava/util/List;"));
    bytes.extend([END, NULL]);
    // Throwable: no cause, the message, no stack trace, nothing suppressed.
    bytes.push(NULL);
    string(&mut bytes, message);
    bytes.extend([NULL, NULL, END]);
    string(&mut bytes, stack_trace);
    string(&mut bytes, class);
    bytes.push(NULL);
    base64(&bytes)
}

fn begin_class(bytes: &mut Vec<u8>, (name, version): (&str, u64), how: u8, fields: u16) {
    bytes.push(CLASS);
    text(bytes, name);
    bytes.extend(version.to_be_bytes());
    bytes.push(how);
    bytes.extend(fields.to_be_bytes());
}

/// A field of a class; one without a type has that of strings.
fn field(bytes: &mut Vec<u8>, kind: u8, name: &str, of_type: Option<&str>) {
    bytes.push(kind);
    text(bytes, name);
    match of_type {
        Some(of_type) => string(bytes, of_type),
        None => bytes.extend(TYPE_STRING),
    }
}

/// A name, which is short and has no characters that Java writes differently.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    let mut encoded = Vec::with_capacity(text.len());
    // As Java writes text: in units of 16 bits, and without a byte of zero.
    for unit in text.encode_utf16() {
        let low = |bits: u16| 0x80 | (bits & 0x3f) as u8;
        match unit {
            0x01..=0x7f => encoded.push(unit as u8),
            0x00 | 0x80..=0x7ff => encoded.extend([0xc0 | (unit >> 6) as u8, low(unit)]),
            _ => encoded.extend([0xe0 | (unit >> 12) as u8, low(unit >> 6), low(unit)]),
        }
    }
    match u16::try_from(encoded.len()) {
        Ok(length) => {
            bytes.push(STRING);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(LONG_STRING);
            bytes.extend((encoded.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(encoded);
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= three.len();
            let value = (bits >> (18 - 6 * digit) & 0x3f) as usize;
            encoded.push(if shown { char::from(DIGITS[value]) } else { '=' });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_everybody_reads_them() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("\u{ff}~?", "w79+Pw==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// The golden text was read back by Java 17 with the class of Flink 2.2.1: `Why: because ä𝄞`, and the stack trace.
    #[test]
    fn a_failure_is_the_java_object_that_flinks_client_reads() {
        let whole = serialized("Why", "because \u{e4}\u{1d11e}", "at\0home");
        assert_eq!(whole, include_str!("../../tests/golden/serialized-throwable.base64").trim());
        let long = serialized("Why", &"x".repeat(70_000), "");
        assert!(long.len() > 90_000);
    }
}
