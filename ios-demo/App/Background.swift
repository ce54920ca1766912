import Ailurus
import AilurusDemoModel
import BackgroundTasks
import SwiftUI
import UserNotifications

/// Joins the app to the system: foreground and background, network, battery, background polls, taps on notifications.
@MainActor
final class Background {
    /// The channel on the screen.
    let shown = ShownChannel()
    private let app: AppModel
    private var adapters: Adapters?
    private var active = false

    /// What follows the system, for the open client.
    private struct Adapters {
        let lifecycle: AppLifecycle
        let network: NetworkWatcher
        let power: PowerWatcher
    }

    /// As in Info.plist.
    private nonisolated static let job = "org.ailurus.demo.poll"
    /// The system gives a background job about 30 seconds.
    private static let budget: TimeInterval = 20
    /// Where the library names no time, as without a network.
    private static let interval: TimeInterval = 15 * 60

    init(app: AppModel) {
        self.app = app
        UNUserNotificationCenter.current().delegate = shown
        _ = BGTaskScheduler.shared.register(forTaskWithIdentifier: Self.job, using: .main) { [weak self] task in
            MainActor.assumeIsolated { self?.run(task) }
        }
    }

    /// The profile was opened, or made.
    func opened() {
        if adapters == nil, let client = app.client {
            adapters = Adapters(
                lifecycle: AppLifecycle(client: client) { [weak self] _ in await self?.schedule() },
                network: NetworkWatcher(client: client),
                power: PowerWatcher(client: client)
            )
        }
        wake()
    }

    func sceneChanged(to phase: ScenePhase) {
        switch phase {
        case .active:
            active = true
            wake()
        case .background:
            (active, app.awake) = (false, false)
        default:
            break
        }
    }

    /// Lets views read again, once the client is awake.
    private func wake() {
        guard active, let lifecycle = adapters?.lifecycle else { return }
        Task {
            try? await lifecycle.whileAwake { _ in }
            app.awake = active
        }
    }

    private func run(_ task: BGTask) {
        let work = Task {
            await app.start()
            opened()
            let done = await poll()
            await schedule()
            task.setTaskCompleted(success: done)
        }
        task.expirationHandler = { work.cancel() }
    }

    /// Polls and tells of what came; false if it could not, or ran out of time: the next poll makes up for it.
    private func poll() async -> Bool {
        guard let lifecycle = adapters?.lifecycle else { return false }
        do {
            let announcements = try await lifecycle.whileAwake { [app] _ in
                try await app.poll(budget: Self.budget)
            }
            await Notifications.show(announcements)
            return true
        } catch {
            return false
        }
    }

    /// Asks for the next poll, when the library wants one; none while a person looks.
    private func schedule() async {
        guard let client = app.client, let plan = try? await client.plan(), !plan.live else { return }
        let request = BGAppRefreshTaskRequest(identifier: Self.job)
        request.earliestBeginDate = plan.wakeup?.at ?? Date(timeIntervalSinceNow: Self.interval)
        // The system refuses where the person has switched background refresh off: then messages wait for them.
        try? BGTaskScheduler.shared.submit(request)
    }
}
