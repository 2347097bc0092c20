//! Text tables: columns as wide as they need to be, numbers to the right.

/// Rows under a head. The first column is to the left, all others to the right.
pub fn text(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].chars().count()]).max().expect("there is a head")
        })
        .collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (position, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            text += &match position {
                0 => format!("{cell}{padding}"),
                _ => format!("   {padding}{cell}"),
            };
        }
        text.trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = "─".repeat(widths.iter().sum::<usize>() + 3 * (widths.len() - 1)) + "\n";
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        assert_eq!(super::text(&["x", "n"], &rows), "x       n\n─────────\na      10\nlong    7\n");
    }
}
