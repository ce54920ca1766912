import Foundation

// Calls that wait for the network, as Swift's tasks cancel them. Overload resolution prefers these to the generated ones,
// whose `cancellation` has a default.
extension Client {
    /// Sends what waits and fetches what is new, within about `budget` seconds: the call for background jobs. What was
    /// not done by then is done the next time.
    ///
    /// Throws `CancellationError` as soon as the task is cancelled; nothing that a super node acknowledged is lost.
    public func syncOnce(budget: TimeInterval) async throws -> PollReport {
        try await cancellable { try await self.syncOnce(budget: duration(budget), cancellation: $0) }
    }

    /// The same, for a wake-up by push: pass what it brought, or nothing where the platform hides it. A storm of pushes costs
    /// no more than the first; a challenge is answered.
    public func onPush(payload: Data) async throws -> PollReport {
        try await cancellable { try await self.onPush(payload: payload, cancellation: $0) }
    }

    /// The key under which a super node speaks to push services, for the app to subscribe with; nothing if the node does not
    /// push to endpoints. It is asked the first time, which takes some seconds at most.
    public func pushKey(node: NodeKey) async throws -> Data? {
        try await cancellable { try await self.pushKey(node: node, cancellation: $0) }
    }

    /// Waits until a super node has the message on disk, and returns its final id; nothing if that takes longer than
    /// `timeout` seconds (it stays queued) or the message expired.
    ///
    /// Throws `CancellationError` as soon as the task is cancelled; the message stays queued then.
    public func waitDelivered(id: MessageId, timeout: TimeInterval) async throws -> MessageId? {
        try await cancellable { try await self.waitDelivered(id: id, timeout: duration(timeout), cancellation: $0) }
    }
}

/// Runs a call that ends when the task is cancelled.
func cancellable<T: Sendable>(_ call: @Sendable (Cancellation) async throws -> T) async throws -> T {
    try Task.checkCancellation()
    let cancellation = Cancellation()
    do {
        return try await withTaskCancellationHandler {
            try await call(cancellation)
        } onCancel: {
            cancellation.cancel()
        }
    } catch AilurusError.Cancelled where Task.isCancelled {
        throw CancellationError()
    }
}

/// What generated code takes as a duration: it ends the process on one that is negative, no number or endless.
private func duration(_ seconds: TimeInterval) -> TimeInterval {
    seconds > 0 ? min(seconds, 100 * 365 * 24 * 3600) : 0
}
