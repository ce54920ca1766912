// Stands in for Apple's UserNotifications where that is not, to check types only: nothing here does anything.

import Foundation

public struct UNAuthorizationOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let alert = UNAuthorizationOptions(rawValue: 4)
    public static let sound = UNAuthorizationOptions(rawValue: 2)
}

open class UNNotificationSound: NSObject {
    public class var `default`: UNNotificationSound { fatalError() }
}

open class UNNotificationContent: NSObject {
    public var userInfo: [AnyHashable: Any] { fatalError() }
}

open class UNMutableNotificationContent: UNNotificationContent {
    public var title: String { get { fatalError() } set {} }
    public var body: String { get { fatalError() } set {} }
    public var sound: UNNotificationSound? { get { fatalError() } set {} }
    public var threadIdentifier: String { get { fatalError() } set {} }
    public override var userInfo: [AnyHashable: Any] { get { fatalError() } set {} }
}

open class UNNotificationTrigger: NSObject {}

open class UNNotificationRequest: NSObject {
    public convenience init(identifier: String, content: UNNotificationContent, trigger: UNNotificationTrigger?) {
        fatalError()
    }
    public var content: UNNotificationContent { fatalError() }
}

open class UNNotification: NSObject {
    public var request: UNNotificationRequest { fatalError() }
}

open class UNNotificationResponse: NSObject {
    public var notification: UNNotification { fatalError() }
}

public protocol UNUserNotificationCenterDelegate: AnyObject {
    func userNotificationCenter(
        _ center: UNUserNotificationCenter,
        didReceive response: UNNotificationResponse
    ) async
}

open class UNUserNotificationCenter: NSObject, @unchecked Sendable {
    public class func current() -> UNUserNotificationCenter { fatalError() }
    public weak var delegate: (any UNUserNotificationCenterDelegate)? { get { fatalError() } set {} }
    public func requestAuthorization(options: UNAuthorizationOptions = []) async throws -> Bool { fatalError() }
    public func add(_ request: UNNotificationRequest) async throws {}
}
