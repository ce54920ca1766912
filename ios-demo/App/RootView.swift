import Ailurus
import AilurusDemoModel
import SwiftUI

/// What the app shows, as its profile stands.
struct RootView: View {
    @ObservedObject var app: AppModel
    @ObservedObject var shown: ShownChannel

    var body: some View {
        Group {
            switch app.phase {
            case .starting:
                ProgressView(localized("start.opening"))
            case .welcome:
                WelcomeView(app: app)
            case .ready:
                ChannelListView(app: app, shown: shown)
            case .closed(let failure):
                ClosedView(failure: failure) { await app.start() }
            }
        }
        .failureAlert($app.failure)
    }
}

/// A profile that cannot be opened.
private struct ClosedView: View {
    let failure: Failure
    let retry: () async -> Void

    var body: some View {
        VStack(spacing: 16) {
            Text(failure.title)
                .font(.headline)
                .accessibilityAddTraits(.isHeader)
            Text(failure.sentence)
                .foregroundColor(.secondary)
            Button(localized("start.retry")) {
                Task { await retry() }
            }
        }
        .multilineTextAlignment(.center)
        .padding()
    }
}
