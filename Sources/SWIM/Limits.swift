/// Every bound of the protocol, by name. What is beyond one is refused with a `Refusal` and counted; nothing grows past them.
package enum SWIMLimits {
    /// The most bytes of one datagram that we send, all layers included.
    package static let datagramBudget = 1400
    /// The largest datagram that is decoded, and the largest that one may decompress to.
    package static let datagram = 65_536
    /// What all compressed parts of one datagram may decompress to together.
    static let datagramExpanded = 4 * datagram
    /// Layers inside one another: checksum, compression, compound.
    package static let nesting = 4
    /// Messages in one datagram, over all its layers.
    package static let parts = 1024
    /// Maps and arrays inside one another in a value that is skipped.
    static let valueDepth = 16
    /// Values in a stream's header, in one member's entry, and in the map around compressed bytes; those that are not known count too.
    static let framedValues = 256

    package static let nameBytes = 255
    /// What we send ourselves, as Serf enforces it.
    package static let metaBytes = 512
    /// What is accepted from others: passing on a shortened copy would make its owner refute it for ever, so it is kept whole up to here.
    package static let acceptedMetaBytes = 4096
    /// Incarnations beyond this are lies: nobody refutes two thousand million times, and the number must never wrap.
    package static let incarnation: UInt32 = 1 << 31

    /// One direction of a stream as it arrives, and what it may decompress to.
    package static let stream = 4 << 20
    static let streamDecompressed = 8 << 20
    static let pushPullNodes = 16_384
    static let userState = 2 << 20

    package static let members = 16_384
    /// What the members may take in an exchange, Serf's state included: the whole must fit into `stream`, or nobody could join any more.
    package static let rosterBytes = 3 << 20
    static let relays = 256
    /// Probes out of turn that are under way; who would be the next waits for its turn.
    static let checks = 16
    static let dials = 256
    package static let joinAddresses = 64
    /// User broadcasts that wait; the oldest goes first.
    static let queuedUserMessages = 1024
    static let seenUserMessages = 4096
    /// Members that died and may come back, beyond those still listed.
    static let departed = 1024
}
