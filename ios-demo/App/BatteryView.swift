import Ailurus
import AilurusDemoModel
import SwiftUI

/// The plan in words, today's usage as bars, and the user's choice.
struct BatteryView: View {
    @StateObject private var model: BatteryModel

    init(model: @autoclosure @escaping () -> BatteryModel) {
        _model = StateObject(wrappedValue: model())
    }

    var body: some View {
        NavigationView {
            Form {
                if let today = model.today {
                    Section {
                        Text(today.total.text)
                        ForEach(today.bars, id: \.reason) { bar in
                            UsageBar(bar: bar)
                        }
                    } header: {
                        Text(localized("battery.today"))
                    } footer: {
                        Text(localized("battery.model"))
                    }
                }
                if let week = model.week {
                    Section {
                        Text(week.total.text)
                    } header: {
                        Text(localized("battery.week"))
                    }
                }
                if let outlook = model.outlook {
                    Section {
                        ForEach(outlook.lines, id: \.self) { line in
                            Text(line)
                        }
                    } header: {
                        Text(localized("battery.plan"))
                    }
                }
                preference
            }
            .navigationTitle(localized("battery.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .task { await model.load() }
        .failureAlert($model.failure)
    }

    private var preference: some View {
        Section {
            ForEach(Preference.allCases, id: \.self) { preference in
                Button {
                    Task { await model.prefer(preference) }
                } label: {
                    if preference == model.preference {
                        Label(preference.title, systemImage: "checkmark")
                    } else {
                        Text(preference.title)
                    }
                }
            }
        } header: {
            Text(localized("battery.preference"))
        }
    }
}

/// One reason: a bar as long as its share, and the same in words.
private struct UsageBar: View {
    let bar: Costs.Bar

    var body: some View {
        VStack(alignment: .leading) {
            Text(bar.reason.title)
            Canvas { context, size in
                let length = max(size.width * bar.share, 2)
                context.fill(Path(CGRect(x: 0, y: 0, width: length, height: size.height)), with: .color(.accentColor))
            }
            .frame(height: 12)
            Text(bar.cost.text)
                .font(.footnote)
                .foregroundColor(.secondary)
        }
        .accessibilityElement(children: .combine)
    }
}

extension Outlook {
    /// What is going on, why, and what else is done.
    fileprivate var lines: [String] {
        var lines: [String] = []
        switch kind {
        case .live:
            lines.append(localized("plan.live"))
            if let next { lines.append(localized("plan.errand %@", duration(next.after))) }
        case .offline:
            lines.append(localized("plan.offline"))
        case .background:
            if let next { lines.append(localized("plan.wakeup %@ %@", duration(next.after), duration(next.slack))) }
        }
        if let next {
            lines.append(localized("plan.reasons %@", list(next.reasons)))
            if !next.also.isEmpty { lines.append(localized("plan.also %@", list(next.also))) }
        }
        return lines
    }

    private func list(_ reasons: [WakeupReason]) -> String {
        reasons.map(\.title).joined(separator: ", ")
    }
}

extension Costs.Cost {
    fileprivate var text: String {
        localized(
            "battery.cost %lld %@ %@",
            Int64(clamping: wakeups),
            duration(radio),
            ByteCountFormatter.string(fromByteCount: Int64(clamping: bytes), countStyle: .file)
        )
    }
}

/// As short as it can be said: seconds, minutes or hours.
private func duration(_ seconds: TimeInterval) -> String {
    if seconds < 120 { return localized("duration.seconds %lld", Int64(seconds)) }
    if seconds < 7200 { return localized("duration.minutes %lld", Int64(seconds / 60)) }
    return localized("duration.hours %lld", Int64(seconds / 3600))
}
