import Ailurus
import Foundation

/// One camera frame: a byte a pixel, 0 is black, `bytesPerRow` bytes a row.
public struct LumaFrame: Sendable {
    public let width: Int
    public let height: Int
    public let bytesPerRow: Int
    public let luma: Data

    public init(width: Int, height: Int, bytesPerRow: Int, luma: Data) {
        self.width = width
        self.height = height
        self.bytesPerRow = bytesPerRow
        self.luma = luma
    }

    /// The first link among the QR codes in the frame. It takes up to some hundred milliseconds: not for the main thread.
    public func firstLink() -> LinkOffer? {
        guard
            let width = UInt32(exactly: width),
            let height = UInt32(exactly: height),
            let stride = UInt32(exactly: bytesPerRow),
            let codes = try? readQrLuma(width: width, height: height, rowStride: stride, luma: luma)
        else {
            // Most frames hold no code.
            return nil
        }
        return codes.lazy.compactMap { try? LinkOffer(text: $0) }.first
    }
}

/// Looks for a link in camera frames, until it has found one.
@MainActor
public final class ScanModel: ObservableObject, FailureTelling {
    /// The link that was found.
    @Published public private(set) var found: LinkOffer?
    /// What someone typed or pasted instead.
    @Published public var text = ""
    @Published public var failure: Failure?

    public init() {}

    /// Takes what a frame held.
    public func take(_ offer: LinkOffer) {
        if found == nil { found = offer }
    }

    /// Takes what was typed or pasted.
    public func takeText() {
        do {
            found = try LinkOffer(text: text)
        } catch {
            failure = Failure(error)
        }
    }
}
