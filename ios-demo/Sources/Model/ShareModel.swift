import Ailurus
import Foundation

/// A channel's link, to be scanned from this screen or sent. It is made when asked for and kept nowhere.
@MainActor
public final class ShareModel: ObservableObject, FailureTelling {
    /// What the link shall allow.
    @Published public var access: AccessKind
    /// It opens the messages of the last seven days too.
    @Published public var history = true
    /// The link as text.
    @Published public private(set) var link: String?
    /// The same as a QR code.
    @Published public private(set) var code: QrCode?
    @Published public var failure: Failure?
    /// What a link may allow: nobody gives more than they have.
    public let choices: [AccessKind]

    private let client: Client
    private let id: ChannelId

    public init(client: Client, id: ChannelId, own: AccessKind) {
        self.client = client
        choices = own == .full ? [.full, .read, .write] : [own]
        access = own
        self.id = id
    }

    /// Makes the link anew: at first, and when `access` or `history` has changed.
    public func load() async {
        (link, code) = (nil, nil)
        await attempt {
            let text = try await client.channel(id: id).link(access: access, history: history)
            code = try drawQr(text: text)
            link = text
        }
    }

    /// The link for other apps, which the phone opens with this one.
    public var sharedText: String? { link.map { "ailurus:\($0)" } }
}
