import CYAML

/// Turns text into trees with libyaml. A syntax error ends the file; duplicate keys and foreign tags are told and passed over.
package enum YAMLParser {
    /// The documents of a file; empty when there was a syntax error (told to `diagnostics`) or nothing but comments.
    package static func documents(in text: String, _ diagnostics: Diagnostics, limits: Limits = Limits()) -> [Node] {
        guard text.utf8.count <= limits.bytes else {
            diagnostics.report(.start, "the file has \(text.utf8.count) bytes, more than the limit of \(limits.bytes); split it")
            return []
        }
        var text = text
        return text.withUTF8 { bytes in
            let composer = Composer(bytes, diagnostics, limits)
            do throws(Fatal) {
                return try composer.stream()
            } catch {
                diagnostics.report(error.mark, error.message)
                return []
            }
        }
    }
}

/// Why reading stopped.
struct Fatal: Error {
    let mark: Mark
    let message: String
}

/// One pass over one text; lives only inside `YAMLParser.documents`.
private final class Composer {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeBufferPointer<UInt8>
    private let diagnostics: Diagnostics
    private let limits: Limits
    private var nodes = 0
    /// Complete anchors of this document, with the number of nodes each stands for.
    private var anchors: [String: (node: Node, size: Int)] = [:]
    private var openAnchors: Set<String> = []

    init(_ text: UnsafeBufferPointer<UInt8>, _ diagnostics: Diagnostics, _ limits: Limits) {
        self.text = text
        self.diagnostics = diagnostics
        self.limits = limits
        parser = .allocate(capacity: 1)
        // Fails only without memory, where Swift itself would end too.
        precondition(yaml_parser_initialize(parser) == 1, "no memory for the YAML parser")
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    func stream() throws(Fatal) -> [Node] {
        var documents: [Node] = []
        while true {
            let event = try next()
            switch event.kind {
            case .documentStart:
                guard documents.count < limits.documents else {
                    throw Fatal(mark: event.mark, message: "more than \(limits.documents) documents in one file")
                }
                anchors = [:]
                openAnchors = []
                documents.append(try compose(try next(), depth: 0))
            case .streamEnd: return documents
            default: continue
            }
        }
    }

    private func compose(_ event: Event, depth: Int) throws(Fatal) -> Node {
        guard depth < limits.depth else { throw Fatal(mark: event.mark, message: "nested deeper than \(limits.depth) levels") }
        let before = nodes
        try count(1, at: event.mark)
        if case .alias(let name) = event.kind { return try resolve(name, event.mark) }
        checkTag(event)
        if let anchor = event.anchor { openAnchors.insert(anchor) }
        let node: Node
        switch event.kind {
        case .scalar(let scalar): node = Node(.scalar(scalar), mark: event.mark)
        case .sequenceStart:
            var items: [Node] = []
            while true {
                let event = try next()
                if case .sequenceEnd = event.kind { break }
                items.append(try compose(event, depth: depth + 1))
            }
            node = Node(.sequence(items), mark: event.mark)
        case .mappingStart: node = Node(.mapping(try entries(depth)), mark: event.mark)
        default: throw Fatal(mark: event.mark, message: "unexpected end")
        }
        if let anchor = event.anchor {
            openAnchors.remove(anchor)
            anchors[anchor] = (node, nodes - before)
        }
        return node
    }

    private func entries(_ depth: Int) throws(Fatal) -> [Node.Entry] {
        var entries: [Node.Entry] = []
        var lines: [String: Int] = [:]
        while true {
            let event = try next()
            if case .mappingEnd = event.kind { return entries }
            let key = try compose(event, depth: depth + 1)
            let value = try compose(try next(), depth: depth + 1)
            guard case .scalar(let scalar) = key.content, !key.isNull else {
                diagnostics.report(key.mark, "a key must be a word, not \(key.isNull ? "empty" : key.kind)")
                continue
            }
            if scalar.text == "<<", scalar.isPlain {
                diagnostics.report(key.mark, "merge keys (`<<`) are not part of YAML 1.2; write the keys out")
                continue
            }
            if let first = lines[scalar.text] {
                diagnostics.report(key.mark, "key `\(scalar.text)` appears twice, first on line \(first)")
                continue
            }
            lines[scalar.text] = key.mark.line
            entries.append(Node.Entry(key: scalar.text, keyMark: key.mark, value: value))
        }
    }

    private func resolve(_ name: String, _ mark: Mark) throws(Fatal) -> Node {
        if openAnchors.contains(name) { throw Fatal(mark: mark, message: "alias `*\(name)` stands inside its own anchor") }
        guard let (node, size) = anchors[name] else { throw Fatal(mark: mark, message: "alias `*\(name)` has no anchor before it") }
        try count(size, at: mark)
        return Node(node.content, mark: mark)
    }

    private func count(_ added: Int, at mark: Mark) throws(Fatal) {
        nodes += added
        if nodes > limits.nodes { throw Fatal(mark: mark, message: "more than \(limits.nodes) values, aliases written out") }
    }

    /// The tags of the core schema say nothing that the schema of the file doesn't; all others would be lost silently.
    private func checkTag(_ event: Event) {
        guard let tag = event.tag, tag != "!" else { return }
        let core = "tag:yaml.org,2002:"
        if tag.hasPrefix(core), ["str", "int", "float", "bool", "null", "map", "seq"].contains(tag.dropFirst(core.count)) { return }
        diagnostics.report(event.mark, "tag `\(tag)` is not supported")
    }

    // MARK: Events

    private struct Event {
        enum Kind {
            case streamStart, streamEnd, documentStart, documentEnd, sequenceStart, sequenceEnd, mappingStart, mappingEnd
            case alias(String)
            case scalar(Scalar)
        }
        var kind: Kind
        var mark: Mark
        var anchor: String?
        var tag: String?
    }

    private func next() throws(Fatal) -> Event {
        var raw = yaml_event_t()
        guard yaml_parser_parse(parser, &raw) == 1 else { throw failure() }
        defer { yaml_event_delete(&raw) }
        let mark = Mark(line: raw.start_mark.line + 1, column: raw.start_mark.column + 1)
        var event = Event(kind: .streamStart, mark: mark)
        switch raw.type {
        case YAML_STREAM_END_EVENT, YAML_NO_EVENT: event.kind = .streamEnd
        case YAML_DOCUMENT_START_EVENT: event.kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: event.kind = .documentEnd
        case YAML_ALIAS_EVENT: event.kind = .alias(string(raw.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = raw.data.scalar
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            event.kind = .scalar(Scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.plain_implicit != 0))
            event.anchor = string(scalar.anchor)
            event.tag = string(scalar.tag)
        case YAML_SEQUENCE_START_EVENT:
            event.kind = .sequenceStart
            event.anchor = string(raw.data.sequence_start.anchor)
            event.tag = string(raw.data.sequence_start.tag)
        case YAML_SEQUENCE_END_EVENT: event.kind = .sequenceEnd
        case YAML_MAPPING_START_EVENT:
            event.kind = .mappingStart
            event.anchor = string(raw.data.mapping_start.anchor)
            event.tag = string(raw.data.mapping_start.tag)
        case YAML_MAPPING_END_EVENT: event.kind = .mappingEnd
        default: break
        }
        return event
    }

    private func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? { text.map { String(cString: $0) } }

    /// libyaml's words, with the position it gives and a hint for the mistake that everybody makes.
    private func failure() -> Fatal {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "not valid YAML"
        if parser.pointee.error == YAML_READER_ERROR {
            return Fatal(mark: mark(ofByte: parser.pointee.problem_offset), message: "\(problem) (the file must be UTF-8 text)")
        }
        let raw = parser.pointee.problem_mark
        var message = problem
        if let context = parser.pointee.context { message = "\(String(cString: context)): \(problem)" }
        if isTab(line: raw.line, column: raw.column) { message += " (a tab: indent with spaces)" }
        return Fatal(mark: Mark(line: raw.line + 1, column: raw.column + 1), message: message)
    }

    private func isTab(line: Int, column: Int) -> Bool {
        let lines = text.split(separator: UInt8(ascii: "\n"), maxSplits: line + 1, omittingEmptySubsequences: false)
        guard line < lines.count else { return false }
        return String(decoding: lines[line], as: UTF8.self).dropFirst(column).first == "\t"
    }

    private func mark(ofByte offset: Int) -> Mark {
        let before = text.prefix(offset)
        let line = before.count { $0 == UInt8(ascii: "\n") }
        let column = offset - (before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
        return Mark(line: line + 1, column: column + 1)
    }
}
