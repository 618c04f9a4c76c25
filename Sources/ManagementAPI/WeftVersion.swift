/// The version of this source tree; agent and command line are built from one.
package enum WeftVersion {
    package static let current = "0.1.0"
}
