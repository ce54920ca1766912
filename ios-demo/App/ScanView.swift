import Ailurus
import AilurusDemoModel
import SwiftUI

/// Looks for a link with the camera, or takes one that was pasted.
struct ScanView: View {
    let found: (LinkOffer) -> Void
    @StateObject private var model = ScanModel()
    @State private var camera = CameraAccess.unknown
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationView {
            VStack {
                switch camera {
                case .granted:
                    CameraView { model.take($0) }
                        .accessibilityLabel(localized("scan.camera"))
                case .denied:
                    Text(localized("scan.denied"))
                        .padding()
                    Spacer()
                case .unknown:
                    Spacer()
                }
                HStack {
                    TextField(localized("scan.text"), text: $model.text)
                        .textInputAutocapitalization(.never)
                        .disableAutocorrection(true)
                        .textFieldStyle(.roundedBorder)
                    Button(localized("scan.take")) { model.takeText() }
                        .disabled(model.text.isEmpty)
                }
                .padding()
            }
            .navigationTitle(localized("scan.title"))
            .navigationBarTitleDisplayMode(.inline)
            .closable()
        }
        .navigationViewStyle(.stack)
        .task { camera = await CameraAccess.ask() }
        .onChange(of: model.found) { offer in
            guard let offer else { return }
            dismiss()
            found(offer)
        }
        .failureAlert($model.failure)
    }
}
