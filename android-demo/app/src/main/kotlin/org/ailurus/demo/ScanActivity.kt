package org.ailurus.demo

import android.Manifest
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.os.Bundle
import android.view.Surface
import android.view.TextureView
import android.widget.Button
import android.widget.TextView
import org.ailurus.Client
import org.ailurus.demo.model.FoundLink
import org.ailurus.demo.model.Links

/** Finds a link with the camera, or on the clipboard, and hands it back. Nothing is done with it here. */
class ScanActivity : Screen() {
    private lateinit var preview: TextureView
    private var camera: Camera? = null
    private var asked = false
    private var resumed = false

    override val secret = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.scan)
        preview = findViewById(R.id.preview)
        preview.surfaceTextureListener = object : TextureView.SurfaceTextureListener {
            override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = start()

            override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) {}

            override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean = true

            override fun onSurfaceTextureUpdated(surface: SurfaceTexture) {}
        }
        findViewById<Button>(R.id.paste).setOnClickListener {
            val text = pasted()
            if (text.isNotBlank()) {
                act { found(Links.find(text)) }
            }
        }
    }

    /** Also before the first start, when the link of a super node is scanned. */
    override fun onNoProfile() {}

    override suspend fun show(client: Client) {}

    override fun onResume() {
        super.onResume()
        resumed = true
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            start()
        } else if (!asked) {
            asked = true
            requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
        }
    }

    override fun onPause() {
        resumed = false
        camera?.close()
        camera = null
        super.onPause()
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, results: IntArray) {
        if (results.firstOrNull() == PackageManager.PERMISSION_DENIED) {
            unusable()
        }
    }

    private fun start() {
        val texture = preview.surfaceTexture ?: return
        val allowed = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED
        if (camera == null && allowed && resumed) {
            texture.setDefaultBufferSize(Camera.WIDTH, Camera.HEIGHT)
            camera = Camera(
                this,
                Surface(texture),
                onLink = { runOnUiThread { found(it) } },
                onFailure = { runOnUiThread(::unusable) },
            ).also { it.open() }
        }
    }

    private fun found(link: FoundLink) {
        if (!isFinishing) {
            setResult(RESULT_OK, Intent().putExtra(LINK, link.text))
            finish()
        }
    }

    private fun unusable() {
        findViewById<TextView>(R.id.hint).setText(R.string.scan_no_camera)
    }

    companion object {
        /** The extra with the link. */
        const val LINK: String = "link"
    }
}
