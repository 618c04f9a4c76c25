import Settings

/// Reads the answer to a check's request, in whatever pieces it comes, and judges it (RFC 9112). It keeps no more than its bounds say, and is
/// done as soon as it knows: what follows is not waited for.
struct HTTPAnswer {
    /// The status line and the fields.
    static let headBytes = 16 << 10
    /// What is searched of the body.
    static let bodyBytes = 64 << 10
    /// What is read of the body with everything that frames it.
    static let wireBytes = 256 << 10
    /// Informational answers before the real one.
    static let interimAnswers = 8

    private enum Part {
        case head
        case length(Int)
        case chunks(ChunkReader)
        case untilEnd
    }

    private let check: HTTPCheck
    private var part = Part.head
    private var head: [UInt8] = []
    private var body: [UInt8] = []
    private var wire = 0
    private var interim = 0
    private var verdict = CheckVerdict.waiting

    init(_ check: HTTPCheck) { self.check = check }

    mutating func received(_ bytes: some Collection<UInt8>) -> CheckVerdict {
        var rest = Array(bytes)[...]
        while verdict == .waiting, !rest.isEmpty {
            if case .head = part { verdict = takeHead(&rest) } else { verdict = takeBody(&rest) }
        }
        return verdict
    }

    /// The endpoint has closed the connection.
    mutating func ended() -> CheckVerdict {
        guard verdict == .waiting else { return verdict }
        switch part {
        case .head:
            verdict = .failed(head.isEmpty ? "the connection was closed without an answer" : "the connection was closed within the answer's head")
        case .untilEnd: verdict = missing("the \(body.count) bytes of the body do not contain")
        case .length, .chunks: verdict = .failed("the connection was closed after \(body.count) bytes of the body")
        }
        return verdict
    }

    // MARK: Head

    private mutating func takeHead(_ rest: inout ArraySlice<UInt8>) -> CheckVerdict {
        // Line by line, so that every byte is looked at once.
        while let byte = rest.popFirst() {
            head.append(byte)
            guard head.count <= Self.headBytes else { return .failed("the answer's head is longer than \(Self.headBytes) bytes") }
            guard byte == UInt8(ascii: "\n") else { continue }
            if head.count <= 2 {
                // Empty lines before the status line: the server is none that could be relied on.
                return .failed("answered \(Quoted.text(head)), which is no HTTP/1.1")
            }
            if head.dropLast().last == UInt8(ascii: "\n") || head.suffix(3).elementsEqual("\n\r\n".utf8) { return judgeHead() }
        }
        return .waiting
    }

    private mutating func judgeHead() -> CheckVerdict {
        var lines = head.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
        let start = lines.removeFirst()
        guard let status = Self.status(start) else { return .failed("answered \(Quoted.text(start)), which is no HTTP/1.1") }
        if (100..<200).contains(status), status != 101 {
            interim += 1
            guard interim <= Self.interimAnswers else { return .failed("more than \(Self.interimAnswers) informational answers came before the real one") }
            head = []
            return .waiting
        }
        var fields: [(name: String, value: [UInt8])] = []
        for line in lines where !line.isEmpty {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex, !line[..<colon].contains(where: { $0 <= 32 }) else {
                return .failed("the answer has a line that is no field: \(Quoted.text(line))")
            }
            let value = line[line.index(after: colon)...].drop { $0 == 32 || $0 == 9 }
            fields.append((String(decoding: line[..<colon], as: UTF8.self).lowercased(), Array(Self.trimmed(value))))
        }
        head = []
        return judge(status, fields)
    }

    private mutating func judge(_ status: UInt16, _ fields: [(name: String, value: [UInt8])]) -> CheckVerdict {
        guard check.statuses.contains(where: { $0.contains(status) }) else {
            return .failed("answered \(status); wanted \(check.statuses.map(HTTPCheck.text).joined(separator: ", "))")
        }
        for (name, wanted) in check.headers.sorted(by: { $0.key < $1.key }) {
            let found = fields.filter { $0.name == name }
            guard let first = found.first else { return .failed("the answer has no field \(name); wanted \"\(wanted)\"") }
            guard found.contains(where: { $0.value.elementsEqual(wanted.utf8) }) else {
                return .failed("the field \(name) is \(Quoted.text(first.value)); wanted \"\(wanted)\"")
            }
        }
        guard check.body != nil else { return .passed }
        if status == 204 || status == 304 { return missing("the answer \(status) has no body to contain") }
        if let coding = fields.first(where: { $0.name == "transfer-encoding" }) {
            guard String(decoding: coding.value, as: UTF8.self).lowercased() == "chunked" else {
                return .failed("the body comes in the coding \(Quoted.text(coding.value)), which is not known")
            }
            part = .chunks(ChunkReader())
        } else if let length = fields.first(where: { $0.name == "content-length" }) {
            guard let count = Self.number(length.value) else { return .failed("the content-length is \(Quoted.text(length.value)), which is no number") }
            if count == 0 { return missing("the body is empty and does not contain") }
            part = .length(count)
        } else {
            part = .untilEnd
        }
        return .waiting
    }

    // MARK: Body

    private mutating func takeBody(_ rest: inout ArraySlice<UInt8>) -> CheckVerdict {
        let before = rest.count
        var piece: ArraySlice<UInt8> = []
        var isOver = false
        switch part {
        case .head: return .waiting
        case .length(let remaining):
            piece = rest.prefix(remaining)
            rest = rest.dropFirst(piece.count)
            part = .length(remaining - piece.count)
            isOver = piece.count == remaining
        case .untilEnd:
            piece = rest
            rest = []
        case .chunks(var reader):
            let step = reader.take(&rest)
            part = .chunks(reader)
            switch step {
            case .piece(let bytes): piece = bytes
            case .over: isOver = true
            case .broken(let why): return .failed(why)
            }
        }
        wire += before - rest.count
        if contains(adding: piece) { return .passed }
        if isOver { return missing("the \(body.count) bytes of the body do not contain") }
        if body.count >= Self.bodyBytes || wire >= Self.wireBytes { return missing("the first \(body.count) bytes of the body do not contain") }
        return .waiting
    }

    /// Searches what is new, and so much of the rest that the text could have begun in.
    private mutating func contains(adding piece: ArraySlice<UInt8>) -> Bool {
        guard let wanted = check.body.map({ Array($0.utf8) }), !piece.isEmpty else { return false }
        let from = max(0, body.count - wanted.count + 1)
        body += piece.prefix(Self.bodyBytes - body.count)
        var position = from
        while position + wanted.count <= body.count {
            if body[position] == wanted[0], body[position..<position + wanted.count].elementsEqual(wanted) { return true }
            position += 1
        }
        return false
    }

    private func missing(_ words: String) -> CheckVerdict { .failed("\(words) \(Quoted.text(check.body ?? ""))") }

    // MARK: Words

    /// `HTTP/1.1 200 OK`; the reason may be missing.
    private static func status(_ line: ArraySlice<UInt8>) -> UInt16? {
        let bytes = Array(line)
        guard bytes.starts(with: "HTTP/1.".utf8), bytes.count >= 12, bytes[8] == 32, bytes.count == 12 || bytes[12] == 32 else { return nil }
        return number(bytes[9..<12]).map { UInt16($0) }.flatMap { $0 >= 100 ? $0 : nil }
    }

    private static func number(_ bytes: some Collection<UInt8>) -> Int? {
        guard (1...15).contains(bytes.count), bytes.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
        return bytes.reduce(0) { $0 * 10 + Int($1 - 48) }
    }

    private static func trimmed(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var value = value
        while let last = value.last, last == 32 || last == 9 { value = value.dropLast() }
        return value
    }
}
