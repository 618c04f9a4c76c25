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

    @Test("a histogram's buckets add up")
    func histogram() {
        var histogram = LatencyHistogram()
        for milliseconds in [0, 1, 3, 100_000] as [UInt64] { histogram.add(nanoseconds: milliseconds * 1_000_000) }
        var text = PrometheusText()
        text.histogram("weft_d_seconds", help: "D.", [([], histogram.buckets, histogram.sumSeconds)])
        #expect(text.text.contains("weft_d_seconds_bucket{le=\"0.001\"} 2\n"))
        #expect(text.text.contains("weft_d_seconds_bucket{le=\"60\"} 3\n"))
        #expect(text.text.contains("weft_d_seconds_bucket{le=\"+Inf\"} 4\n"))
        #expect(text.text.contains("weft_d_seconds_count 4\n"))
    }

    @Test("JSON text is escaped", arguments: [("a", "\"a\""), ("\"\\", "\"\\\"\\\\\""), ("\n\u{1}", "\"\\n\\u0001\""), ("ä", "\"ä\"")])
    func json(text: String, expected: String) {
        var out: [UInt8] = []
        JSONText.quote(text, into: &out)
        #expect(String(decoding: out, as: UTF8.self) == expected)
    }
}
