/// `POST /v1/heartbeats/{name}`: an application of this node says how it is. Needed by endpoints whose check is `ttl`.
package struct HeartbeatRequest: APIRequest {
    package enum Status: String, Codable, Sendable, CaseIterable { case passing, failing }
    package enum CodingKeys: String, CodingKey, CaseIterable { case status, note, address }
    package var status: Status
    /// For people, kept until the next one; at most `maximumNote` bytes.
    package var note: String
    /// `address:port` of the application; nil when this node has one endpoint of the service only.
    package var address: String?

    package static let maximumNote = 1024

    package init(status: Status = .passing, note: String = "", address: String? = nil) {
        self.status = status
        self.note = note
        self.address = address
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        let word = try keys.decodeIfPresent(String.self, forKey: .status) ?? Status.passing.rawValue
        guard let status = Status(rawValue: word) else {
            throw DecodingError.dataCorruptedError(
                forKey: .status, in: keys, debugDescription: "it must be one of \(Status.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self.status = status
        note = try keys.decodeIfPresent(String.self, forKey: .note) ?? ""
        address = try keys.decodeIfPresent(String.self, forKey: .address)
    }
}

package struct HeartbeatReport: Codable, Sendable, Equatable {
    /// The application's address.
    package var address: String
    /// What the endpoint is now.
    package var health: String
    /// When the next one must have come.
    package var ttlMilliseconds: Int64
    package init(address: String, health: String, ttlMilliseconds: Int64) {
        self.address = address
        self.health = health
        self.ttlMilliseconds = ttlMilliseconds
    }
}
