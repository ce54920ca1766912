import Foundation

extension Client {
    /// Sets the device token that `didRegisterForRemoteNotifications` gave, at the super nodes in use: the one that is polled
    /// and those that take over. The nodes can tell by it that they have the same client. `platform` is as the nodes'
    /// operators call it.
    ///
    /// A push that comes then goes to ``onPush(payload:)``.
    public func setPushToken(_ token: Data, platform: String = "apns") async throws {
        let text = token.map { String(format: "%02x", $0) }.joined()
        for node in try await nodes() where node.state == .active || node.state == .standby {
            try await setPush(node: node.id, target: .gateway(platform: platform, token: text))
        }
    }
}
