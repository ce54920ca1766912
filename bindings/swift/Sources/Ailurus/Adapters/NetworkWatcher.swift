#if canImport(Network)
import Foundation
import Network

/// Tells a client what network the phone has, as long as this object is held.
public final class NetworkWatcher: @unchecked Sendable {
    private let monitor = NWPathMonitor()

    /// Tells the present state soon, and each change from then on.
    public init(client: Client) {
        monitor.pathUpdateHandler = { [weak client] path in
            client?.setNetwork(state: NetworkState(path))
        }
        monitor.start(queue: DispatchQueue(label: "org.ailurus.network"))
    }

    deinit { monitor.cancel() }
}

extension NetworkState {
    init(_ path: NWPath) {
        // Roaming is nothing that the system tells; it counts such networks as expensive.
        self.init(kind: NetworkKind(path), metered: path.isExpensive || path.isConstrained, roaming: false)
    }
}

extension NetworkKind {
    init(_ path: NWPath) {
        if path.status != .satisfied {
            self = .offline
        } else if path.usesInterfaceType(.wifi) {
            self = .wifi
        } else if path.usesInterfaceType(.cellular) {
            self = .cellular
        } else {
            self = .other
        }
    }
}
#endif
