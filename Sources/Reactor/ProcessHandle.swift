import CLinux
import Platform

/// Descriptors that stand for processes (pidfd_open(2)).
package enum ProcessHandle {
    /// Becomes readable when the child has ended; it is still there to be waited for then.
    package static func open(_ child: Int32) throws(Errno) -> OwnedFD {
        OwnedFD(consuming: try systemCall { clinux_pidfd_open(child, 0) })
    }
}
