/// What to do next where there is nothing to show.
enum Hints {
    static let noMesh = "no members: this node is in no mesh yet; run `weft init TRUST-DOMAIN` here to make one, or `weft join` to join one\n"
    static let alone = "no other members yet: run `weft token create --node NAME` on the authority's node and `weft join` on the other host"
    static let noServices = "no services yet: `weft service register NAME --port PORT` adds one, or a file in /etc/weft/services.d\n"
    static let noWorkloads = "no workloads yet: `weft capture add UNIT` captures a systemd unit, or list workloads in weft.yaml\n"
    static let noCaptures = "nothing is captured yet: `weft capture add UNIT` captures a systemd unit\n"
    static let noConnections = "no connections yet: captured processes have not called anything since the agent started\n"
    static let noCertificates = "no certificates: this node is in no mesh yet; run `weft init TRUST-DOMAIN` or `weft join`\n"
    static let noTokens = "no tokens: `weft token create --node NAME` on the authority's node makes one\n"
}
