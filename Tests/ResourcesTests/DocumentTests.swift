import MeshModel
import Platform
import Settings
import Testing

@testable import Resources

@Suite("Documents of resources")
struct DocumentTests {
    private static let rule = """
        # Istio's own form.
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata:
          name: reviews
          labels: {app: reviews}
        spec:
          host: reviews
          subsets:
          - name: canary
            labels:
              track: "canary"
          - {name: v2, labels: {version: "2"}}
        """

    @Test func `a DestinationRule names subsets by labels`() throws {
        let documents = try ResourceDocument.read(Self.rule, path: "f.yaml", namespace: "shop")
        let document = try #require(documents.first)
        #expect(document.key == key("reviews"))
        #expect(document.expected == nil)
        let service = try #require(ServiceName("reviews", namespace: "shop"))
        #expect(
            document.value
                == .destinationRule(
                    DestinationRule(
                        service: service,
                        subsets: [SubsetRule(name: "canary", labels: ["track": "canary"]), SubsetRule(name: "v2", labels: ["version": "2"])])))
        // What is stored says the same, wherever it is read.
        let again = try ResourceDocument.read(document.text, path: "stored", namespace: "other")
        #expect(again.map(\.value) == [document.value])
        #expect(again.map(\.text) == [document.text])
        #expect(again.map(\.key) == [document.key])
    }

    @Test func `a printed document carries the version that a change of it must replace`() throws {
        let document = try ResourceDocument.read(Self.rule, path: "f.yaml", namespace: "shop")[0]
        let version = ResourceVersion(time: HybridTime(milliseconds: 1_800_000_000_123, counter: 7), author: "node-a")
        let write = ResourceWrite(key: document.key, version: version, payload: Array(document.text.utf8), replaces: nil, certificate: [], signature: [])
        let shown = ResourceDocument.shown(write)
        #expect(shown.contains("resourceVersion: \"1800000000123-7-node-a\""), "\(shown)")
        let read = try ResourceDocument.read(shown, path: "f.yaml", namespace: "default")[0]
        #expect(read.expected == version)
        #expect(read.text == document.text, "the version is no part of the document")
    }

    @Test(arguments: [
        ("kind: DestinationRule", "kind: DestinatonRule", "f.yaml:3:7: `kind` is `DestinatonRule`, which this version of Weft does not know; did you mean `DestinationRule`?"),
        ("networking.istio.io/v1", "networking.istio.io/v9", "f.yaml:2:13: `apiVersion` is `networking.istio.io/v9`; a DestinationRule is of `networking.istio.io/v1` or"),
        ("  subsets:", "  subset:", "f.yaml:9:3: unknown key `subset` in `spec`, did you mean `subsets`?"),
        ("  host: reviews\n", "  host: reviews.bank\n", "f.yaml:8:9: `spec.host` names a service of namespace `bank`, and the rule is in `shop`: write it there"),
        ("  host: reviews\n", "  host: '*.com'\n", "f.yaml:8:9: `spec.host` must be the name of a service"),
        ("  host: reviews\n", "  host: reviews\n  trafficPolicy: {tls: {mode: DISABLE}}\n", "f.yaml:9:18: `spec.trafficPolicy` is not acted on by this version of Weft, and is refused"),
        ("- name: canary", "- name: Canary", "f.yaml:10:11: `spec.subsets[0].name` must be a DNS label"),
        ("{name: v2,", "{name: canary,", "f.yaml:13:5: subset `canary` is written twice"),
        ("  name: reviews\n  labels", "  labels", "f.yaml:5:3: `metadata.name` is missing"),
        ("metadata:\n", "metadata:\n  resourceVersion: '12'\n", "f.yaml:5:20: `metadata.resourceVersion` must be a version as `weft get` shows it"),
        ("spec:\n", "status: {}\nspec:\n", "f.yaml:7:1: unknown key `status`"),
    ])
    func `what is wrong is told with its place`(_ old: String, _ new: String, _ error: String) throws {
        let parts = Self.rule.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
        try #require(parts.count == 2)
        let caught = #expect(throws: ConfigurationErrors.self) {
            _ = try ResourceDocument.read(parts.joined(separator: new), path: "f.yaml", namespace: "shop")
        }
        #expect(caught?.description.contains(error) == true, "\(caught?.description ?? "")")
    }

    @Test func `the same resource twice in a file is refused`() {
        let caught = #expect(throws: ConfigurationErrors.self) {
            _ = try ResourceDocument.read("\(Self.rule)\n---\n\(Self.rule)", path: "f.yaml", namespace: "shop")
        }
        #expect(caught?.description.contains("DestinationRule shop/reviews is in this file already, at line 2") == true)
    }

    @Test func `hosts in every form that Kubernetes knows`() throws {
        for host in ["reviews", "reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local"] {
            let text = Self.rule.split(separator: "  host: reviews\n", maxSplits: 1).joined(separator: "  host: \(host)\n")
            #expect(throws: Never.self) { try ResourceDocument.read(text, path: "f.yaml", namespace: "shop") }
        }
    }

    // MARK: The book

    private func write(_ text: String, counter: UInt16, key target: ResourceKey = key("reviews")) -> ResourceWrite {
        ResourceWrite(
            key: target, version: ResourceVersion(time: HybridTime(milliseconds: 1_800_000_000_000, counter: counter), author: "a"),
            payload: Array(text.utf8), replaces: nil, certificate: [], signature: [])
    }

    @Test func `what is not understood leaves what was in force`() throws {
        var book = ResourceBook()
        let service = try #require(ServiceName("reviews", namespace: "shop"))
        let good = try ResourceDocument.read(Self.rule, path: "f.yaml", namespace: "shop")[0].text
        let isOther1 = book.update(key("reviews"), write(good, counter: 1))
        #expect(isOther1)
        let newer = good.split(separator: "subsets:").joined(separator: "somethingNew: 1\n  subsets:")
        let second = write(newer, counter: 2)
        let isOther2 = book.update(key("reviews"), second)
        #expect(!isOther2)
        #expect(book.subsets[service]?.map(\.name) == ["canary", "v2"])
        #expect(book.problem(key("reviews"))?.contains("unknown key `somethingNew`") == true)
        #expect(book.inForce(insteadOf: second.version, key("reviews"))?.version.time.counter == 1)
        let isOther3 = book.update(key("reviews"), nil)
        #expect(isOther3)
        #expect(book.subsets.isEmpty)
        #expect(book.problem(key("reviews")) == nil)
    }

    @Test func `a kind of a newer version is kept and not acted on`() throws {
        var book = ResourceBook()
        let target = try #require(ResourceKey(kind: "Telemetry", group: "telemetry.istio.io", namespace: "", name: "mesh"))
        let isOther4 = book.update(target, write("apiVersion: x", counter: 1, key: target))
        #expect(!isOther4)
        #expect(book.problem(target)?.contains("does not know the kind Telemetry of telemetry.istio.io: upgrade this node") == true)
    }

    @Test func `a document under another resource's name is not acted on`() throws {
        var book = ResourceBook()
        let text = try ResourceDocument.read(Self.rule, path: "f.yaml", namespace: "shop")[0].text
        let isOther5 = book.update(key("other"), write(text, counter: 1, key: key("other")))
        #expect(!isOther5)
        #expect(book.problem(key("other"))?.contains("its document is of DestinationRule shop/reviews") == true)
    }
}
