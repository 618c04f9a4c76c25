import Testing

@testable import YAML

/// The documents of a text and what was told about it, as `line:column: message`.
func compose(_ text: String, limits: Limits = Limits()) -> (documents: [Node], errors: [String]) {
    let diagnostics = Diagnostics(path: "f")
    let documents = YAMLParser.documents(in: text, diagnostics, limits: limits)
    return (documents, diagnostics.sorted.map { "\($0.mark): \($0.message)" })
}

@Suite("Text becomes trees")
struct ComposerTests {
    @Test("Every node knows its line and column")
    func marks() throws {
        let (documents, errors) = compose("a: 1\nlist:\n  - x\n  - {k: v}\n")
        #expect(errors.isEmpty)
        guard case .mapping(let entries) = try #require(documents.first).content, case .sequence(let items) = entries[1].value.content else {
            Issue.record("not the tree that was written")
            return
        }
        #expect(entries.map(\.keyMark) == [Mark(line: 1, column: 1), Mark(line: 2, column: 1)])
        #expect(entries[0].value.mark == Mark(line: 1, column: 4))
        #expect(items.map(\.mark) == [Mark(line: 3, column: 5), Mark(line: 4, column: 5)])
    }

    @Test("A file may hold several documents, empty ones too, or none")
    func documents() {
        #expect(compose("a: 1\n---\nb: 2\n---\n").documents.count == 3)
        #expect(compose("a: 1\n---\n").documents[1].isNull)
        #expect(compose("# nothing\n").documents.isEmpty)
        #expect(compose("").documents.isEmpty)
    }

    @Test(
        "What is not YAML, or not what we take, is told where it stands",
        arguments: [
            ("a: [1, 2\n", "2:1: while parsing a flow sequence: did not find expected ',' or ']'"),
            ("a:\n\tb: 1\n", "2:1: while scanning for the next token: found character that cannot start any token (a tab: indent with spaces)"),
            ("a: 1\nb: 2\na: 3\n", "3:1: key `a` appears twice, first on line 1"),
            ("a: *x\n", "1:4: alias `*x` has no anchor before it"),
            ("a: &x [*x]\n", "1:8: alias `*x` stands inside its own anchor"),
            ("a: !secret b\n", "1:4: tag `!secret` is not supported"),
            ("b: &x {c: 1}\na:\n  <<: *x\n", "3:3: merge keys (`<<`) are not part of YAML 1.2; write the keys out"),
            ("[1]: 2\n", "1:1: a key must be a word, not a list"),
            ("~: 2\n", "1:1: a key must be a word, not empty"),
            ("a: \u{1}\n", "1:4: control characters are not allowed (the file must be UTF-8 text)"),
        ])
    func problems(_ text: String, _ expected: String) {
        #expect(compose(text).errors == [expected])
    }

    @Test("An alias stands for its anchor's value, and its mark is the alias's own")
    func aliases() throws {
        let (documents, errors) = compose("a: &x {k: v}\nb: *x\n")
        #expect(errors.isEmpty)
        guard case .mapping(let entries) = documents[0].content else { return #expect(Bool(false)) }
        #expect(entries[0].value.content == entries[1].value.content)
        #expect(entries[1].value.mark == Mark(line: 2, column: 4))
    }

    @Test("Anchors end with their document")
    func anchorScope() {
        #expect(compose("a: &x 1\n---\nb: *x\n").errors == ["3:4: alias `*x` has no anchor before it"])
    }

    @Test("A billion laughs are stopped by the count of nodes")
    func laughs() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<9 {
            let alias = "*a\(level - 1)"
            text += "a\(level): &a\(level) [\(Array(repeating: alias, count: 9).joined(separator: ", "))]\n"
        }
        #expect(compose(text).errors.first?.hasSuffix("more than 100000 values, aliases written out") == true)
    }

    @Test("Nesting, size and number of documents are bounded")
    func bounds() {
        #expect(compose(String(repeating: "[", count: 100_000)).errors == ["1:65: nested deeper than 64 levels"])
        #expect(compose(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)).errors.isEmpty)
        var limits = Limits()
        limits.bytes = 10
        #expect(compose("a: 12345678\n", limits: limits).errors == ["1:1: the file has 12 bytes, more than the limit of 10; split it"])
        limits = Limits()
        limits.documents = 2
        #expect(compose("a\n---\nb\n---\nc\n", limits: limits).errors == ["4:1: more than 2 documents in one file"])
    }

    @Test("Damaged text never crashes, and always tells something or gives a tree")
    func damage() {
        var generator = SeededGenerator(seed: 7)
        let text = Array("a: &x [1, 'two', \"th\\u0072ee\"]\nb: {c: *x, d: |\n  text\n}\n--- !!map\n? k\n: v\n...\n%YAML 1.2\n---\n- - -\n".utf8)
        for _ in 0..<2_000 {
            var bytes = text
            for _ in 0...Int.random(in: 0...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 1...127, using: &generator)
            }
            bytes = Array(bytes.prefix(Int.random(in: 1...bytes.count, using: &generator)))
            _ = compose(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// SplitMix64: the same numbers every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
