//! Tables as fleet prints them: cells padded with TAB characters to stops of eight columns.
//!
//! A column is as wide as its widest cell and one blank, rounded up to a stop; the last cell of a row is not padded. Scripts cut
//! these tables at their tabs, so the padding is kept to the character.

/// Columns from one tab stop to the next.
const STOP: usize = 8;

/// Rows as text, each ended by a newline. All rows have the same number of cells.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let mut widths = vec![0; columns];
    for row in rows {
        assert_eq!(row.len(), columns, "a row of {row:?} in a table of {columns} columns");
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max((cell.chars().count() + 1).next_multiple_of(STOP));
        }
    }
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < columns {
                let missing = widths[column] - cell.chars().count();
                out.push_str(&"\t".repeat(missing.div_ceil(STOP)));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| cell.to_string()).collect()).collect()
    }

    #[test]
    fn cells_end_at_stops_of_eight() {
        let table = table(&rows(&[
            &["UNIT", "MACHINE", "ACTIVE", "SUB"],
            &["hello.service", "113f16a7.../172.17.8.103", "active", "running"],
            &["x.mount", "-", "failed", "dead"],
        ]));
        assert_eq!(
            table,
            "UNIT\t\tMACHINE\t\t\t\tACTIVE\tSUB\n\
             hello.service\t113f16a7.../172.17.8.103\tactive\trunning\n\
             x.mount\t\t-\t\t\t\tfailed\tdead\n"
        );
    }

    #[test]
    fn a_cell_of_eight_needs_the_next_stop() {
        assert_eq!(table(&rows(&[&["12345678", "a"], &["1234567", "b"]])), "12345678\ta\n1234567\t\tb\n");
        assert_eq!(table(&rows(&[&["1234567", "b"]])), "1234567\tb\n");
        assert_eq!(table(&rows(&[&["größe", "b"]])), "größe\tb\n");
        assert_eq!(table(&rows(&[&["", "b"]])), "\tb\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn every_column_starts_at_one_stop_in_all_rows() {
        fn holds(cells: Vec<(String, String, String)>) -> bool {
            let plain = |text: String| text.replace(['\t', '\n', '\r'], "");
            let rows: Vec<_> = cells.into_iter().map(|(a, b, c)| [a, b, c].map(plain).to_vec()).collect();
            let text = table(&rows);
            let starts: Vec<Vec<usize>> = text.split_terminator('\n').map(starts).collect();
            starts.windows(2).all(|pair| pair[0] == pair[1]) && starts.len() == rows.len()
        }
        fn starts(line: &str) -> Vec<usize> {
            let (mut at, mut found, mut padding) = (0usize, Vec::new(), false);
            for c in line.chars() {
                if c == '\t' {
                    at = (at + 1).next_multiple_of(STOP);
                    padding = true;
                } else {
                    if std::mem::take(&mut padding) {
                        found.push(at);
                    }
                    at += 1;
                }
            }
            // Only the first two borders are there in every row: the last cell may be empty.
            found.truncate(1);
            found
        }
        let fixed = vec![("a".into(), "b".into(), "c".into()), ("a".repeat(9), "b".repeat(17), "c".into())];
        assert!(holds(fixed));
        quickcheck::quickcheck(nonempty as fn(Vec<(u8, u8, u8)>) -> bool);
        fn nonempty(widths: Vec<(u8, u8, u8)>) -> bool {
            let cell = |width: u8| "x".repeat(usize::from(width % 40) + 1);
            holds(widths.into_iter().map(|(a, b, c)| (cell(a), cell(b), cell(c))).collect())
        }
    }
}
