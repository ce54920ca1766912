package org.ailurus.android

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import android.net.NetworkCapabilities
import android.os.Build
import org.ailurus.Client
import org.ailurus.NetworkKind
import org.ailurus.NetworkState

/**
 * Tells a client what the phone is connected by, from now until it is closed. Close it before the client.
 *
 * @param onChange called after the client was told something new: the moment to plan polls ([PollScheduler]).
 */
public class NetworkWatcher @JvmOverloads constructor(
    context: Context,
    private val client: Client,
    private val onChange: (NetworkState) -> Unit = {},
) : AutoCloseable {
    private val connectivity = context.service<ConnectivityManager>()
    private var told: NetworkState? = null
    private var closed = false

    private val callback = object : ConnectivityManager.NetworkCallback() {
        override fun onCapabilitiesChanged(network: Network, capabilities: NetworkCapabilities) {
            tell(connectivity.connection(capabilities))
        }

        override fun onLost(network: Network) {
            tell(null)
        }
    }

    init {
        if (connectivity.activeNetwork == null) {
            tell(null)
        }
        connectivity.registerDefaultNetworkCallback(callback)
    }

    override fun close() {
        synchronized(callback) {
            if (closed) {
                return
            }
            closed = true
        }
        connectivity.unregisterNetworkCallback(callback)
    }

    private fun tell(connection: Connection?) {
        val state = networkState(connection)
        synchronized(callback) {
            // Signal strength is a capability too, and changes all the time.
            if (closed || state == told) {
                return
            }
            told = state
            client.setNetwork(state)
        }
        onChange(state)
    }
}

/** What the phone is connected by now. */
internal fun Context.networkNow(): NetworkState {
    val connectivity = service<ConnectivityManager>()
    val network = connectivity.activeNetwork ?: return networkState(null)
    val capabilities = connectivity.getNetworkCapabilities(network)
    // There is one that Android has not described yet.
        ?: return NetworkState(NetworkKind.OTHER, metered = false, roaming = false)
    return networkState(connectivity.connection(capabilities))
}

private fun ConnectivityManager.connection(capabilities: NetworkCapabilities) = Connection(
    wifi = capabilities.hasTransport(NetworkCapabilities.TRANSPORT_WIFI),
    cellular = capabilities.hasTransport(NetworkCapabilities.TRANSPORT_CELLULAR),
    metered = !capabilities.hasCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED),
    roaming = roaming(capabilities),
)

private fun ConnectivityManager.roaming(capabilities: NetworkCapabilities): Boolean {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
        return !capabilities.hasCapability(NetworkCapabilities.NET_CAPABILITY_NOT_ROAMING)
    }
    @Suppress("DEPRECATION") // There is no other way before API 28.
    return activeNetworkInfo?.isRoaming == true
}

/** A network as Android describes it. One through a VPN has the transports below it too. */
internal data class Connection(
    val wifi: Boolean,
    val cellular: Boolean,
    val metered: Boolean,
    val roaming: Boolean,
)

internal fun networkState(connection: Connection?): NetworkState {
    if (connection == null) {
        return NetworkState(NetworkKind.OFFLINE, metered = false, roaming = false)
    }
    val kind = when {
        connection.cellular -> NetworkKind.CELLULAR
        connection.wifi -> NetworkKind.WIFI
        else -> NetworkKind.OTHER
    }
    return NetworkState(kind, connection.metered, connection.roaming)
}
