import MeshModel

extension CatalogView {
    /// What is different in a later view of the same catalog.
    package struct Changes: Sendable, Equatable {
        /// As they are now, in order of their names.
        package var services: [ServiceView] = []
        /// Services that are not in it any more.
        package var gone: [ServiceName] = []
        /// Names, addresses or ports of services or subsets: what DNS answers.
        package var names = false
        /// What nodes say of themselves, or which there are.
        package var nodes = false
    }

    /// - Complexity: O(services + nodes); of a service that did not change its endpoints are not looked at, since views share them.
    package func changes(since old: CatalogView) -> Changes {
        var changes = Changes()
        var next = 0
        for index in services.indices {
            while next < old.services.count, old.services[next].service.name < services[index].service.name {
                changes.gone.append(old.services[next].service.name)
                next += 1
            }
            if next < old.services.count, old.services[next].service == services[index].service {
                let hasNames = services[index].hasNames(of: old.services[next])
                if !hasNames { changes.names = true }
                if !hasNames || services[index].endpoints != old.services[next].endpoints || services[index].subsets != old.services[next].subsets {
                    changes.services.append(services[index])
                }
            } else {
                changes.names = true
                changes.services.append(services[index])
            }
            if next < old.services.count, old.services[next].service.name == services[index].service.name { next += 1 }
        }
        changes.gone += old.services[next...].map(\.service.name)
        if !changes.gone.isEmpty { changes.names = true }
        changes.nodes = !nodes.elementsEqual(old.nodes) { $0.info == $1.info }
        return changes
    }
}

extension CatalogView.ServiceView {
    fileprivate func hasNames(of other: Self) -> Bool {
        subsets.elementsEqual(other.subsets) { $0.subset == $1.subset && $0.addresses == $1.addresses }
    }
}
