import MeshModel
import Settings

/// The configuration file and the service declarations, read together so that one error report has all that is wrong.
struct LoadedConfiguration {
    let path: String
    let configuration: AgentConfiguration
    let services: [ServiceDeclaration]

    init(path: String) throws(ConfigurationErrors) {
        self.path = path
        configuration = try AgentConfiguration.load(path: path)
        services = try ServiceDeclaration.load(directory: configuration.services, workloads: configuration.workloads)
    }
}
