package httpserve

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// Certificate serves with a certificate and its key, PEM files both, and with what replaces
// them: they are read again at the first handshake after the certificate's file changed. While
// the new ones cannot be read, such as between the writing of the one and of the other, the old
// ones stay. It fails where they cannot be read at all.
func Certificate(certificate, key string) (*tls.Config, error) {
	k := &keyPair{certificate: certificate, key: key}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current(), nil },
	}, nil
}

// keyPair is the newest certificate that could be read.
type keyPair struct {
	certificate, key string

	mu   sync.Mutex
	pair *tls.Certificate
	of   time.Time // when the file was written that pair is of
}

func (k *keyPair) load() error {
	info, err := os.Stat(k.certificate)
	if err != nil {
		return err
	}
	if k.pair != nil && info.ModTime().Equal(k.of) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.certificate, k.key)
	if err != nil {
		return err
	}
	k.pair, k.of = &pair, info.ModTime()
	return nil
}

func (k *keyPair) current() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.load() // the old one is better than none
	return k.pair
}
