//! CSV, as RFC 4180 has it, but for one thing: a value cannot span lines. No
//! value that is taken has a line end in it, and a quote that is never closed
//! would otherwise swallow the rest of the file.

use csv_core::{ReadRecordResult, Reader};

use super::fields::{Column, Fields};

/// Reads the lines after a header.
#[derive(Debug)]
pub(super) struct CsvLines {
    columns: Vec<Column>,
    values: Values,
}

impl CsvLines {
    /// Reads the header: it names the columns, in any order.
    pub(super) fn new(header: &str) -> Result<Self, String> {
        let mut values = Values::new(Column::ALL.len());
        let mut columns = Vec::new();
        for name in values.of(header)? {
            let column = Column::named(name)?;
            if columns.contains(&column) {
                return Err(format!("column {name} is there twice"));
            }
            columns.push(column);
        }
        if !columns.contains(&Column::Type) {
            return Err("there is no column \"type\": the first line has to name the columns \
                        (JSON lines are read with --format jsonl)"
                .to_owned());
        }
        values.most = columns.len();
        Ok(Self { columns, values })
    }

    /// What a line says.
    pub(super) fn fields(&mut self, line: &str) -> Result<Fields<'_>, String> {
        let mut fields = Fields::default();
        let mut count = 0;
        let wanted = self.columns.len();
        for (value, column) in self.values.of(line)?.zip(&self.columns) {
            fields.set(*column, value);
            count += 1;
        }
        if count < wanted {
            return Err(format!("has {count} values, the header names {wanted} columns"));
        }
        Ok(fields)
    }
}

/// Splits lines, and keeps the values of the last one.
#[derive(Debug)]
struct Values {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The most values that a line may have.
    most: usize,
}

impl Values {
    fn new(most: usize) -> Self {
        Self { reader: Reader::new(), text: Vec::new(), ends: Vec::new(), most }
    }

    fn of(&mut self, line: &str) -> Result<impl Iterator<Item = &str>, String> {
        self.reader.reset();
        self.text.resize(line.len() + 1, 0);
        self.ends.resize(self.most + 1, 0);
        let too_many = || format!("has more than {} values: the header names no more", self.most);
        let (read, _, text, ends) =
            self.reader.read_record(line.as_bytes(), &mut self.text, &mut self.ends);
        if read != ReadRecordResult::InputEmpty {
            return Err(too_many());
        }
        let (rest, more) = (self.text.get_mut(text..), self.ends.get_mut(ends..));
        let (Some(rest), Some(more)) = (rest, more) else { return Err(too_many()) };
        // The line end is the end of the record, unless a quote is open.
        let (read, _, _, last) = self.reader.read_record(b"\n", rest, more);
        match read {
            ReadRecordResult::Record => {}
            ReadRecordResult::OutputEndsFull => return Err(too_many()),
            _ => return Err("a quote is never closed: a value cannot span lines".to_owned()),
        }
        let count = ends + last;
        if count > self.most {
            return Err(too_many());
        }
        let text = &self.text;
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let values = starts.zip(self.ends.iter().copied()).take(count).map(move |(from, to)| {
            // Cut at commas and quotes only, so still text.
            text.get(from..to).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("")
        });
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(line: &str) -> Result<Vec<String>, String> {
        let mut values = Values::new(3);
        values.of(line).map(|values| values.map(str::to_owned).collect())
    }

    #[test]
    fn quoted_values_may_have_commas_and_quotes_in_them() {
        for (line, wanted) in [
            ("a,b,c", vec!["a", "b", "c"]),
            ("a,,", vec!["a", "", ""]),
            ("a", vec!["a"]),
            (r#""a,b",c"#, vec!["a,b", "c"]),
            (r#""say ""hi""","""#, vec!["say \"hi\"", ""]),
            (r#""say ""hi""","""""#, vec!["say \"hi\"", "\""]),
            ("ä,ö", vec!["ä", "ö"]),
        ] {
            assert_eq!(values(line).unwrap(), wanted, "{line}");
        }
    }

    #[test]
    fn an_open_quote_and_a_value_too_many_are_errors_and_the_next_line_is_read() {
        let mut lines = CsvLines::new("type,account_id").unwrap();
        for (bad, says) in [
            (r#"lot,"a"#, "never closed"),
            ("lot,a,b", "more than 2 values"),
            ("lot,a,", "more than 2 values"),
            ("lot,a,b,c,d,e", "more than 2 values"),
            ("lot", "has 1 values, the header names 2"),
        ] {
            let error = lines.fields(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
            let fields = lines.fields("lot,a").unwrap();
            assert_eq!(fields.get(Column::AccountId), Some("a"));
        }
    }

    #[test]
    fn a_header_names_known_columns_once_and_has_the_type() {
        for (header, says) in [
            ("account_id", "no column \"type\""),
            ("type,acount_id", "no column \"acount_id\""),
            ("type,type", "there twice"),
            ("type,", "no column \"\""),
            (r#"{"type":"lot"}"#, "no column"),
        ] {
            let error = CsvLines::new(header).unwrap_err();
            assert!(error.contains(says), "{header}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(header in ".*", line in "[^\r\n]*", quoted in "[\",a]*") {
            let _ = CsvLines::new(&header);
            let mut lines = CsvLines::new("type,account_id,reason").unwrap();
            let _ = lines.fields(&line);
            let _ = lines.fields(&quoted);
        }

        #[test]
        fn what_was_quoted_is_read_as_it_was(wanted in prop::collection::vec("[^\r\n]*", 3)) {
            let quoted: Vec<String> =
                wanted.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            prop_assert_eq!(values(&quoted.join(",")).unwrap(), wanted);
        }
    }
}
