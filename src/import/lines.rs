//! A file as numbered lines, whatever is in it: none is longer than a limit, so
//! that a file without line ends does not end up in memory.

use std::io::{self, BufRead, Read};

/// The most bytes of a line: several times what a record may have.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// What some programs begin a text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    line: Vec<u8>,
}

/// A line's number, counted from 1, and its text without the line end, or what
/// is wrong with it.
pub(super) type Line<'l> = (u64, Result<&'l str, String>);

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0, line: Vec::new() }
    }

    /// The next line; `None` after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = MAX_LINE_BYTES + b"\r\n".len();
        let mut limited = self.reader.by_ref().take(limit as u64);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        } else if self.line.len() == limit {
            self.reader.skip_until(b'\n')?;
        }
        if self.line.len() > MAX_LINE_BYTES {
            let what = format!("is longer than {MAX_LINE_BYTES} bytes");
            return Ok(Some((self.number, Err(what))));
        }
        let mut line = self.line.as_slice();
        if self.number == 1 {
            if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                let what = "the file is UTF-16: save it as UTF-8".to_owned();
                return Ok(Some((self.number, Err(what))));
            }
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        Ok(Some((self.number, text(line))))
    }
}

/// Text that can be shown, parsed and stored.
fn text(line: &[u8]) -> Result<&str, String> {
    let at = |index: usize| index + 1;
    if let Some(index) = line.iter().position(|byte| matches!(byte, b'\0' | b'\r')) {
        let what = if line.get(index) == Some(&0) { "NUL" } else { "carriage return" };
        return Err(format!("has a {what} at byte {}", at(index)));
    }
    std::str::from_utf8(line)
        .map_err(|error| format!("is not UTF-8 at byte {}", at(error.valid_up_to())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(file);
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            read.push((number, line.map(str::to_owned)));
        }
        read
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_the_last_one_need_not() {
        let wanted = vec![
            (1, Ok("a".to_owned())),
            (2, Ok("b".to_owned())),
            (3, Ok(String::new())),
            (4, Ok("c".to_owned())),
        ];
        assert_eq!(read(b"a\nb\r\n\nc"), wanted);
        assert_eq!(read(b"\xef\xbb\xbfa\r\nb\n\r\nc\n"), wanted);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_the_next_one_is_read() {
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        let longer = vec![b'x'; 3 * MAX_LINE_BYTES];
        for (bad, says) in [
            (&b"a\0b"[..], "has a NUL at byte 2"),
            (b"a\rb", "has a carriage return at byte 2"),
            (b"ab\xff", "is not UTF-8 at byte 3"),
            (&long, "is longer than 16384 bytes"),
            (&longer, "is longer than 16384 bytes"),
        ] {
            let file = [b"first\n", bad, b"\nlast"].concat();
            let wanted = vec![
                (1, Ok("first".to_owned())),
                (2, Err(says.to_owned())),
                (3, Ok("last".to_owned())),
            ];
            assert_eq!(read(&file), wanted);
        }
        let longest = [&vec![b'x'; MAX_LINE_BYTES][..], b"\r\n"].concat();
        assert!(read(&longest)[0].1.is_ok());
        let (_, first) = &read(b"\xff\xfea\0")[0];
        assert!(first.as_ref().unwrap_err().contains("save it as UTF-8"));
    }
}
