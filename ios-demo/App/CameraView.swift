import AVFoundation
import AilurusDemoModel
import SwiftUI
import UIKit

/// Whether this app may use the camera.
enum CameraAccess {
    case unknown, granted, denied

    /// Asks the person, the first time.
    static func ask() async -> CameraAccess {
        await AVCaptureDevice.requestAccess(for: .video) ? .granted : .denied
    }
}

/// Shows what the camera sees and looks for links in it.
struct CameraView: UIViewControllerRepresentable {
    let found: @MainActor (LinkOffer) -> Void

    func makeUIViewController(context: Context) -> CameraController {
        CameraController(found: found)
    }

    func updateUIViewController(_ controller: CameraController, context: Context) {}
}

/// Runs the camera while it is on the screen.
final class CameraController: UIViewController {
    private let session = AVCaptureSession()
    private let frames: FrameReader
    private let preview: AVCaptureVideoPreviewLayer
    /// Starting and stopping the camera takes a while, and must not hold up the screen.
    private let control = DispatchQueue(label: "org.ailurus.demo.camera")

    init(found: @escaping @MainActor (LinkOffer) -> Void) {
        frames = FrameReader(found: found)
        preview = AVCaptureVideoPreviewLayer(session: session)
        super.init(nibName: nil, bundle: nil)
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) {
        fatalError("it is made in code only")
    }

    override func viewDidLoad() {
        super.viewDidLoad()
        preview.videoGravity = .resizeAspectFill
        view.layer.addSublayer(preview)

        guard
            let camera = AVCaptureDevice.default(for: .video),
            let input = try? AVCaptureDeviceInput(device: camera),
            session.canAddInput(input)
        else { return }
        session.addInput(input)

        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [
            kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
        ]
        // A frame that comes while another is read is not needed.
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(frames, queue: frames.queue)
        guard session.canAddOutput(output) else { return }
        session.addOutput(output)
    }

    override func viewDidLayoutSubviews() {
        super.viewDidLayoutSubviews()
        preview.frame = view.bounds
    }

    override func viewWillAppear(_ animated: Bool) {
        super.viewWillAppear(animated)
        control.async { [session] in session.startRunning() }
    }

    override func viewDidDisappear(_ animated: Bool) {
        super.viewDidDisappear(animated)
        control.async { [session] in session.stopRunning() }
    }
}

/// Reads camera frames on a queue of its own.
private final class FrameReader: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    let queue = DispatchQueue(label: "org.ailurus.demo.frames")
    private let found: @MainActor (LinkOffer) -> Void

    init(found: @escaping @MainActor (LinkOffer) -> Void) {
        self.found = found
    }

    func captureOutput(
        _ output: AVCaptureOutput,
        didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let image = CMSampleBufferGetImageBuffer(sampleBuffer), let frame = lumaFrame(of: image) else { return }
        guard let offer = frame.firstLink() else { return }
        Task { @MainActor [found] in found(offer) }
    }

    /// The brightness of each pixel, which is the image's first plane.
    private func lumaFrame(of image: CVImageBuffer) -> LumaFrame? {
        guard CVPixelBufferLockBaseAddress(image, .readOnly) == kCVReturnSuccess else { return nil }
        defer { CVPixelBufferUnlockBaseAddress(image, .readOnly) }
        guard let plane = CVPixelBufferGetBaseAddressOfPlane(image, 0) else { return nil }
        let height = CVPixelBufferGetHeightOfPlane(image, 0)
        let bytesPerRow = CVPixelBufferGetBytesPerRowOfPlane(image, 0)
        return LumaFrame(
            width: CVPixelBufferGetWidthOfPlane(image, 0),
            height: height,
            bytesPerRow: bytesPerRow,
            luma: Data(bytes: plane, count: bytesPerRow * height)
        )
    }
}
