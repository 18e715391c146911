//! Aligned tables: numbers to the right, no junk at line ends.

use std::fmt::Write;

/// A column's heading and side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row. Empty cells become "-"; a short row is filled up.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| shown(&cell)).collect();
        row.resize(self.columns.len(), "-".to_owned());
        self.rows.push(row);
    }

    /// The table, or `empty` where it has no rows.
    pub(super) fn render_or(&self, empty: &str) -> String {
        if self.rows.is_empty() { format!("{empty}\n") } else { self.render() }
    }

    pub(super) fn render(&self) -> String {
        let heading = |column: &Column| match column {
            Column::Left(name) | Column::Right(name) => (*name).to_owned(),
        };
        let head: Vec<String> = self.columns.iter().map(heading).collect();
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for ((column, width), cell) in self.columns.iter().zip(&widths).zip(row) {
                // Writing to a String cannot fail.
                let _ = match column {
                    Column::Left(_) => write!(line, "{cell:<width$}  "),
                    Column::Right(_) => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values below each other.
pub(super) fn block(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        let _ = writeln!(text, "{name:<width$}  {}", shown(value));
    }
    text
}

/// "-" for nothing; and no control characters, which in a name that somebody
/// else chose could rewrite what the reader's terminal shows.
pub(super) fn shown(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_text_left_and_no_line_ends_in_blanks() {
        let mut table =
            Table::new([Column::Left("NAME"), Column::Right("CREDITS"), Column::Left("NOTE")]);
        table.row(["a".into(), "5".into(), "first".into()]);
        table.row(["long name".into(), "1200".into(), "b".into()]);
        assert_eq!(
            table.render(),
            "NAME       CREDITS  NOTE\n\
             a                5  first\n\
             long name     1200  b\n"
        );
    }

    #[test]
    fn empty_cells_are_dashes_and_an_empty_table_says_so() {
        let mut table = Table::new([Column::Left("A"), Column::Left("B")]);
        assert_eq!(table.render_or("nothing"), "nothing\n");
        table.row([String::new()]);
        assert_eq!(table.render(), "A  B\n-  -\n");
    }

    #[test]
    fn a_name_cannot_smuggle_escape_sequences_into_the_terminal() {
        assert!(!shown("\u{1b}[2Jgone\n").contains(char::is_control));
    }
}
