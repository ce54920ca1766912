#if canImport(BackgroundTasks) && canImport(UIKit) && !os(watchOS)
import BackgroundTasks
import Foundation

/// Syncs in the background when the client wants to and the system lets it.
///
/// Its identifier stands in the app's Info.plist under `BGTaskSchedulerPermittedIdentifiers`, with the background mode
/// `fetch`. Call ``register()`` before the app has finished launching, and ``schedule(for:)`` when it goes to the
/// background, as ``AppLifecycle`` tells. The system chooses the time, from what it sees of the person's habits; after the
/// app was swiped away it gives none until it is opened again.
@available(iOSApplicationExtension, unavailable)
public final class BackgroundRefresh: Sendable {
    private let identifier: String
    private let open: @MainActor @Sendable () async throws -> AppLifecycle
    private let report: @MainActor @Sendable (PollReport) async -> Void

    /// The system gives about 30 seconds; the rest is for opening, reporting and closing.
    private static let budget: TimeInterval = 25
    /// Where the client names no time, or could not be opened.
    private static let interval: TimeInterval = 15 * 60

    /// `open` gives the app's client, which it opens if the system has started the app for this. `report` takes what a
    /// sync brought, to show notifications for example, within a second or two: the client is still awake, and the
    /// system is told that the task is done after that.
    public init(
        identifier: String,
        open: @escaping @MainActor @Sendable () async throws -> AppLifecycle,
        report: @escaping @MainActor @Sendable (PollReport) async -> Void = { _ in }
    ) {
        self.identifier = identifier
        self.open = open
        self.report = report
    }

    /// Takes the task from the system; false if its identifier is missing in Info.plist.
    @discardableResult
    public func register() -> Bool {
        BGTaskScheduler.shared.register(forTaskWithIdentifier: identifier, using: nil) { task in
            self.run(Given(task: task))
        }
    }

    /// Asks for the next wake-up, as the client's plan has it; none while a person looks. The system may refuse, as it does
    /// in the simulator.
    public func schedule(for client: Client) async throws {
        let plan = try await client.plan()
        if plan.live { return }
        try schedule(after: plan.wakeup)
    }

    /// Asks for a wake-up that is not before this one. Without one, as where there is no network, it is in 15 minutes.
    public func schedule(after wakeup: Wakeup?) throws {
        let request = BGAppRefreshTaskRequest(identifier: identifier)
        request.earliestBeginDate = wakeup?.at ?? Date(timeIntervalSinceNow: Self.interval)
        try BGTaskScheduler.shared.submit(request)
    }

    private func run(_ given: Given) {
        let work = Task {
            var (next, done): (Wakeup?, Bool) = (nil, false)
            do {
                let lifecycle = try await open()
                (next, done) = try await lifecycle.whileAwake { [report] client in
                    // A sync that fails or is cut short is made up for the next time.
                    let synced = try? await client.syncOnce(budget: Self.budget)
                    if let synced { await report(synced) }
                    return (try? await client.nextWakeup(), synced != nil)
                }
            } catch {
                done = false
            }
            try? schedule(after: next)
            given.task.setTaskCompleted(success: done)
        }
        given.task.expirationHandler = { work.cancel() }
    }

    /// A task of the system, which may be used from any thread.
    private struct Given: @unchecked Sendable {
        let task: BGTask
    }
}
#endif
