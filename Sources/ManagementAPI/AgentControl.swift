/// What the daemon lets people and programs do: the management server calls it, `weftd` implements it.
///
/// Calls come from the server's own threads and several at once; an implementation confines itself (`@Control`). Those that throw tell the reason
/// and the remedy in the error, which reaches the person as it is. Access is checked before: `Route.access` says what each needs.
package protocol AgentControl: Sendable {
    func status() async -> Status
    func version() async -> VersionReport
    /// Every metric of the agent, in Prometheus's text format 0.0.4.
    func metrics() async -> String

    /// Makes a mesh: trust domain, root and authority on this node.
    func initialise(_ request: InitRequest) async throws(APIError) -> InitReport
    /// Lets one node join; only the authority's node can.
    func createToken(_ request: TokenRequest) async throws(APIError) -> TokenReport
    /// Newest first; empty on a node that is not the authority's.
    func tokens() async throws(APIError) -> TokenList
    /// Withdraws a token that nobody used yet; returns what it was.
    func deleteToken(id: String) async throws(APIError) -> TokenEntry
    func join(_ request: JoinRequest) async throws(APIError) -> JoinReport
    func leave(_ request: LeaveRequest) async throws(APIError) -> LeaveReport
    /// Sorted by name, this node included.
    func members() async throws(APIError) -> MemberList
    /// Returns once a member has changed after the request's number, or with nothing after its timeout. Ends soon when its task is cancelled or the
    /// node leaves its mesh.
    func memberChanges(_ request: MemberWatch) async throws(APIError) -> MemberChanges
    func gossip() async throws(APIError) -> GossipReport
    /// Asks every live member which gossip keys it has.
    func gossipKeys() async throws(APIError) -> GossipKeyList
    /// Orders to all nodes. They return when each has answered or failed, and throw when nothing was done anywhere.
    func addGossipKey(_ request: GossipKeyAddition) async throws(APIError) -> GossipKeyReport
    func useGossipKey(_ request: GossipKeyUse) async throws(APIError) -> GossipKeyReport
    func removeGossipKey(_ request: GossipKeyRemoval) async throws(APIError) -> GossipKeyReport
    /// Asks another node how far it knows the records of each. Throws `notFound` for a node that is not known.
    func catalogDiff(node: String) async throws(APIError) -> CatalogDiff

    /// Sorted by namespace and name.
    func services() async throws(APIError) -> ServiceList
    func service(_ name: ServiceReference) async throws(APIError) -> ServiceDetail
    /// Registers an endpoint of this node, or replaces the one with the same service, port and address.
    func registerService(_ request: ServiceRegistration) async throws(APIError) -> RegistrationReport
    /// Throws `notFound` when no endpoint of this node matches, `conflict` for one that a file declares.
    func deregisterService(_ request: ServiceDeregistration) async throws(APIError) -> DeregistrationReport

    /// Takes an application's word on its own endpoint. Throws `notFound` when this node has none that is checked so, `forbidden` when `process`, unless it is
    /// nil, is not one of the workload that serves it.
    func heartbeat(_ service: ServiceReference, _ request: HeartbeatRequest, from process: Int32?) async throws(APIError) -> HeartbeatReport

    func workloads() async throws(APIError) -> WorkloadList
    func captures() async throws(APIError) -> CaptureList
    func addCapture(_ request: CaptureRequest) async throws(APIError) -> CaptureReport
    func removeCapture(_ request: CaptureRemoval) async throws(APIError) -> CaptureReport
    /// Returns once the unit's cgroup is in the kernel's set, and throws `timedOut` after the request's timeout. Ends soon when its task is cancelled:
    /// the server stops then.
    func captureReady(_ request: CaptureReadyRequest) async throws(APIError) -> CaptureReadyReport

    /// Those that fit the selection, sorted.
    func resources(_ selection: ResourceSelection) async throws(APIError) -> ResourceList
    /// Writes all resources of a text or none. Wrong documents are in the report; throws `conflict` for a version that was replaced meanwhile and for
    /// a right that this node does not have.
    func applyResources(_ request: ApplyRequest) async throws(APIError) -> ApplyReport
    /// The selection names kind and name. Throws `notFound`, and `conflict` as above.
    func deleteResource(_ selection: ResourceSelection) async throws(APIError) -> AppliedResource
    /// Asks every node what it makes of the resources that fit the selection.
    func rollout(_ selection: ResourceSelection) async throws(APIError) -> RolloutReport

    /// The nodes that joined; only the authority's node knows.
    func nodes() async throws(APIError) -> NodeList
    func changeRights(_ request: RightsRequest) async throws(APIError) -> RightsReport

    /// The open flows and the last closed ones, newest first.
    func connections(_ request: ConnectionsRequest) async throws(APIError) -> ConnectionList
    func certificates() async throws(APIError) -> CertificateList
    /// Asks the authority for every certificate again, now.
    func renewCertificates() async throws(APIError) -> RenewalReport
    /// Reads the configuration again. When it is wrong the running one stays and the report has the errors.
    func reload() async throws(APIError) -> ReloadReport
}
