import Ailurus
import AilurusDemoModel
import SwiftUI

@main
struct AilurusDemoApp: App {
    @StateObject private var app: AppModel
    private let background: Background
    @Environment(\.scenePhase) private var scenePhase

    init() {
        let app = AppModel(profile: .inAppSupport)
        _app = StateObject(wrappedValue: app)
        // The system wants its background jobs registered before the app has finished launching.
        background = Background(app: app)
    }

    var body: some Scene {
        WindowGroup {
            RootView(app: app, shown: background.shown)
                .onOpenURL { app.open(link: $0.absoluteString) }
                .onChange(of: app.phase) { if $0 == .ready { background.opened() } }
                .task { await app.start() }
        }
        .onChange(of: scenePhase) { background.sceneChanged(to: $0) }
    }
}

extension Profile {
    /// The profile of this app, with its storage key in the Keychain.
    static var inAppSupport: Profile {
        let support = FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0]
        return Profile(
            folder: support.appendingPathComponent("profile", isDirectory: true),
            vault: KeychainVault(service: "org.ailurus.demo")
        )
    }
}
