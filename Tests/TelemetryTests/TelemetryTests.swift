import Testing

@testable import Telemetry

@Suite("Prometheus text")
struct PrometheusTextTests {
    @Test("families stand together with help and type, and labels are escaped")
    func format() {
        var text = PrometheusText()
        text.family("weft_x_total", .counter, help: "X.", [([("a", "1\"\\\n")], 2), ([], 0.5)])
        text.family("weft_empty", .gauge, help: "None.", [])
        #expect(text.text == "# HELP weft_x_total X.\n# TYPE weft_x_total counter\nweft_x_total{a=\"1\\\"\\\\\\n\"} 2\nweft_x_total 0.5\n")
    }

    @Test("JSON text is escaped", arguments: [("a", "\"a\""), ("\"\\", "\"\\\"\\\\\""), ("\n\u{1}", "\"\\n\\u0001\""), ("ä", "\"ä\"")])
    func json(text: String, expected: String) {
        var out: [UInt8] = []
        JSONText.quote(text, into: &out)
        #expect(String(decoding: out, as: UTF8.self) == expected)
    }
}
