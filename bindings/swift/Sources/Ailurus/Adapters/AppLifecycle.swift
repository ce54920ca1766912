#if canImport(UIKit) && !os(watchOS)
import Foundation
import UIKit

/// Follows the app to the foreground and the background, as long as this object is held: connections stay open while a
/// person looks, and no file is locked when the system stops the process, which would end the app.
@MainActor
@available(iOSApplicationExtension, unavailable)
public final class AppLifecycle {
    /// The client that it keeps.
    public let client: Client

    private let onBackground: @MainActor @Sendable (Client) async -> Void
    private var foreground: Bool
    private var works = 0
    /// How the client was left; nothing if that failed.
    private var leftAwake: Bool? = true
    private var last: Task<Void, Never>?
    private var observers: [Observers] = []

    /// Make one when the client was opened. `onBackground` is called whenever the app goes to the background, with time to
    /// finish: the place for ``BackgroundRefresh/schedule(for:)``. The client may be suspended by then.
    public init(
        client: Client,
        onBackground: @escaping @MainActor @Sendable (Client) async -> Void = { _ in }
    ) {
        self.client = client
        self.onBackground = onBackground
        foreground = UIApplication.shared.applicationState != .background
        observers = [
            Observers([UIApplication.willEnterForegroundNotification]) { [weak self] in self?.enter(foreground: true) },
            Observers([UIApplication.didEnterBackgroundNotification]) { [weak self] in self?.enter(foreground: false) },
        ]
        client.setAppState(state: foreground ? .foreground : .background)
    }

    /// Runs background work with the client awake, and suspends it after that unless the app came to the foreground.
    public func whileAwake<T: Sendable>(_ work: @Sendable (Client) async throws -> T) async throws -> T {
        works += 1
        await settle().value
        do {
            let done = try await work(client)
            works -= 1
            await settle().value
            return done
        } catch {
            works -= 1
            await settle().value
            throw error
        }
    }

    private func enter(foreground now: Bool) {
        foreground = now
        if now {
            settle()
            return
        }
        // Without this the process may be stopped before the files are closed. It must be there when this returns.
        let assertion = Assertion()
        client.setAppState(state: .background)
        let settled = settle()
        Task {
            await onBackground(client)
            await settled.value
            assertion.end()
        }
    }

    /// Suspends or resumes the client as is due, after what runs already. What fails is tried again the next time.
    @discardableResult
    private func settle() -> Task<Void, Never> {
        let before = last
        let task = Task {
            await before?.value
            let awake = foreground || works > 0
            if leftAwake != awake {
                do {
                    if awake { try await client.resume() } else { try await client.suspend() }
                    leftAwake = awake
                } catch {
                    // Trying again does no harm, whatever was done; a client that was shut down needs neither.
                    leftAwake = nil
                }
            }
            if awake { client.setAppState(state: foreground ? .foreground : .background) }
        }
        last = task
        return task
    }
}

/// Time that the system gives to finish something in the background.
@MainActor
@available(iOSApplicationExtension, unavailable)
private final class Assertion {
    private var id = UIBackgroundTaskIdentifier.invalid

    init() {
        id = UIApplication.shared.beginBackgroundTask(withName: "org.ailurus.suspend") { [weak self] in self?.end() }
    }

    func end() {
        guard id != .invalid else { return }
        UIApplication.shared.endBackgroundTask(id)
        id = .invalid
    }
}
#endif
