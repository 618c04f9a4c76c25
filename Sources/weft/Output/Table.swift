/// Rows in aligned columns, two spaces apart, without lines.
struct Table {
    struct Column {
        var title: String
        var isNumber = false
        init(_ title: String, isNumber: Bool = false) {
            self.title = title
            self.isNumber = isNumber
        }
    }
    private let columns: [Column]
    private var rows: [[String]] = []

    init(_ columns: [Column]) { self.columns = columns }

    /// One text for each column.
    mutating func add(_ row: [String]) {
        precondition(row.count == columns.count, "a row has one text for each column")
        rows.append(row.map(Text.printable))
    }

    var text: String {
        var widths = columns.map(\.title.count)
        for row in rows { for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) } }
        var lines: [String] = []
        for row in [columns.map(\.title)] + rows {
            var line = ""
            for (index, cell) in row.enumerated() {
                let gap = String(repeating: " ", count: widths[index] - cell.count)
                if index > 0 { line += "  " }
                line += columns[index].isNumber ? gap + cell : cell + gap
            }
            while line.last == " " { line.removeLast() }
            lines.append(line)
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
