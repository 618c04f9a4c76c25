extension String {
    /// For terminals and log lines: at most 512 characters, with control characters replaced. Peers choose some of the words.
    package var printable: String {
        String(String.UnicodeScalarView(unicodeScalars.prefix(512).map { $0.value < 32 || 0x7f...0x9f ~= $0.value ? "\u{fffd}" : $0 }))
    }
}
