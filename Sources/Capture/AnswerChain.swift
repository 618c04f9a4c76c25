import Netfilter

/// The chain that leads back what is sent to a client's address by an application which was shown it: such answers would leave for the client, so they get
/// the agent's mark and are routed again, to here (see `RoutePlan`).
struct AnswerChain {
    private let words: RuleWords
    let chain: NFChain

    init(_ words: RuleWords, in table: NFTable) {
        self.words = words
        chain = table.baseChain("mark", .route, hook: .output, priority: -150)
    }

    /// - Parameter hold: where new flows of this kind get their timeouts.
    func rules(hold: NFChain? = nil) -> [NFRule] {
        let settings = words.settings
        let remember = NFClause.setConntrackMark(settings.spoofedMark, mask: settings.markMask)
        let restore = NFClause.setMark(settings.spoofedMark, mask: settings.markMask)
        return [
            chain.rule("remember spoofed flows", words.spoofedMark, remember, hold.map { .goto($0) } ?? .return),
            chain.rule(
                "lead their answers back", .conntrackMark(settings.spoofedMark, mask: settings.markMask), .conntrackDirection(.reply), restore),
        ]
    }
}
