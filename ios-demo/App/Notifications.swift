import Ailurus
import AilurusDemoModel
import Foundation
import UserNotifications

/// Notifications of what a background sync brought.
enum Notifications {
    /// Asks the person whether they want any, the first time. Without them the app works all the same.
    static func ask() async {
        _ = try? await UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .sound])
    }

    /// Shows each.
    static func show(_ announcements: [Announcement]) async {
        for announcement in announcements {
            let content = UNMutableNotificationContent()
            content.title = announcement.title
            content.body = announcement.body
            content.sound = .default
            content.threadIdentifier = announcement.channel.text
            content.userInfo = [channelKey: announcement.channel.text]
            let request = UNNotificationRequest(identifier: UUID().uuidString, content: content, trigger: nil)
            // Refused by the person: they have chosen not to be told.
            try? await UNUserNotificationCenter.current().add(request)
        }
    }

    fileprivate static let channelKey = "channel"
}

/// The channel on the screen, which a tap on a notification changes.
@MainActor
final class ShownChannel: NSObject, ObservableObject, UNUserNotificationCenterDelegate {
    @Published var id: ChannelId?

    nonisolated func userNotificationCenter(
        _ center: UNUserNotificationCenter,
        didReceive response: UNNotificationResponse
    ) async {
        let info = response.notification.request.content.userInfo
        guard let text = info[Notifications.channelKey] as? String else { return }
        await MainActor.run { id = ChannelId(text: text) }
    }
}
