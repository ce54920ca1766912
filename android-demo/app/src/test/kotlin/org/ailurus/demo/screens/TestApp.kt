package org.ailurus.demo.screens

import org.ailurus.KeyVault
import org.ailurus.demo.DemoApp
import org.ailurus.demo.model.MemoryVault

/** The app, with a vault that needs no Android Keystore: Robolectric has none. */
class TestApp : DemoApp() {
    override fun vault(): KeyVault = MemoryVault()
}
